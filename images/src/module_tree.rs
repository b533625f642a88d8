//! A kernel's modules: which are built in, which need which, and their bytes.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{command::Run, kernels::Kernel};

/// depmod is in the system administrator's directory, which a user's search path may lack.
pub(crate) const DEPMOD: &str = "/sbin/depmod";

/// A module to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its name with underscores, as the kernel writes it.
    pub(crate) name: String,
    /// Its file, relative to the kernel's module directory.
    path: String,
}

/// What depmod and the kernel's build recorded of all modules.
pub(crate) struct ModuleTree {
    /// Module name → its file and the files it needs.
    modules: BTreeMap<String, (String, Vec<String>)>,
    built_in: Vec<String>,
    release: String,
}

impl ModuleTree {
    pub(crate) fn of(kernel: &Kernel) -> Result<Self> {
        let read = |name: &str| {
            let path = kernel.modules_dir.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Self::parse(&read("modules.dep")?, &read("modules.builtin")?, &kernel.release))
    }

    fn parse(dependencies: &str, built_in: &str, release: &str) -> Self {
        let modules = dependencies
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needs)| {
                (module_name(path), (path.to_owned(), needs.split_whitespace().map(str::to_owned).collect()))
            })
            .collect();
        Self { modules, built_in: built_in.lines().map(module_name).collect(), release: release.to_owned() }
    }

    /// The modules to load for `name`, in the order they must be loaded in, `name` itself last. None where the kernel
    /// has it built in.
    pub(crate) fn load_order(&self, name: &str) -> Result<Vec<Module>> {
        let name = module_name(name);
        if self.built_in.contains(&name) {
            return Ok(Vec::new());
        }
        let mut order = Vec::new();
        self.add_with_needs(&name, &mut order)?;
        Ok(order)
    }

    fn add_with_needs(&self, name: &str, order: &mut Vec<Module>) -> Result<()> {
        let Some((path, needs)) = self.modules.get(name) else {
            bail!("kernel {} has no module {name}, neither built in nor as a file", self.release)
        };
        // A cycle cannot be loaded at all, so depmod refuses it: the recursion ends.
        for need in needs {
            self.add_with_needs(&module_name(need), order)?;
        }
        let module = Module { name: name.to_owned(), path: path.clone() };
        if !order.contains(&module) {
            order.push(module);
        }
        Ok(())
    }
}

impl Module {
    /// The module itself, decompressed.
    pub(crate) fn read(&self, kernel: &Kernel) -> Result<Vec<u8>> {
        let path = kernel.modules_dir.join(&self.path);
        match path.extension().and_then(|kind| kind.to_str()) {
            Some("xz") => Run::new("xz").arg("--decompress").arg("--stdout").arg(&path).bytes(),
            Some("ko") => fs::read(&path).with_context(|| format!("cannot read {}", path.display())),
            _ => bail!("{} is compressed in a way not known here", path.display()),
        }
    }
}

/// `kernel/drivers/char/hw_random/virtio-rng.ko.xz` → `virtio_rng`.
fn module_name(path: &str) -> String {
    let file = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> ModuleTree {
        let dependencies = "kernel/arch/x86/kvm/kvm-amd.ko.xz: kernel/arch/x86/kvm/kvm.ko.xz kernel/virt/irqbypass.ko.xz\n\
                            kernel/arch/x86/kvm/kvm.ko.xz: kernel/virt/irqbypass.ko.xz\n\
                            kernel/virt/irqbypass.ko.xz:\n";
        ModuleTree::parse(dependencies, "kernel/drivers/virtio/virtio_pci.ko\n", "6.12-test")
    }

    #[test]
    fn needed_modules_come_first_and_once() {
        let order = tree().load_order("kvm-amd").unwrap();
        let names: Vec<_> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["irqbypass", "kvm", "kvm_amd"]);
    }

    #[test]
    fn a_built_in_module_needs_no_loading() {
        assert_eq!(tree().load_order("virtio-pci").unwrap(), []);
    }

    #[test]
    fn a_module_the_kernel_lacks_is_named() {
        let error = tree().load_order("nvme").err().unwrap().to_string();
        assert!(error.contains("nvme") && error.contains("6.12-test"), "{error}");
    }
}
