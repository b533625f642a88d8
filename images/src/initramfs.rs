//! Initramfs images: what a guest or an emulated host has for a root file system.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! # let cache = images::Cache::open()?;
//! let kernel = images::kernels::fetch(&cache, "6.1")?;
//! let image = images::initramfs::Builder::new()
//!     .busybox()?
//!     .modules("boot", &kernel, &["virtio_mmio", "virtio_blk", "button"])?
//!     .module_file("tmem", &images::driver::build(&cache, &kernel, false)?.tmem, "")?
//!     .file(&images::programs::guest("tmem-load")?, "/bin/tmem-load")?
//!     .init("load-modules tmem; exec tmem-load --size 64MiB")
//!     .build(&cache)?;
//! # Ok(()) }
//! ```
//!
//! The image is an uncompressed archive: under emulation decompression costs more than reading. Its bytes depend only
//! on what was put in.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    Cache, Key,
    command::Run,
    cpio::{self, Node},
    kernels::Kernel,
    module_tree::ModuleTree,
};

/// Images of some 30 MB change with every build of what they hold and take a second to make; older ones are dropped
/// when a new one is made.
const UNUSED_FOR: Duration = Duration::from_hours(3);
/// Debian's statically linked busybox, package `busybox-static`.
const BUSYBOX: &str = "/bin/busybox";

/// The directories every image has: mount points for `/init`, and where programs expect to write.
const DIRECTORIES: [&str; 6] = ["dev", "etc", "proc", "run", "sys", "tmp"];

/// Loads the modules of one group, in their order. Stops at the first that does not load, and fails.
const LOAD_MODULES: &str = r#"#!/bin/sh
# usage: load-modules GROUP
while read -r module arguments; do
    grep -q "^$module " /proc/modules && continue
    insmod "/lib/modules/$module.ko" $arguments || { echo "load-modules: $module failed"; exit 1; }
done < "/etc/modules/$1"
"#;

/// The first program: the usual mounts, the modules of the group `boot`, then the caller's script.
const INIT_PREFIX: &str = r"#!/bin/sh
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmp /tmp
ln -sf /proc/self/fd /dev/fd
[ ! -e /etc/modules/boot ] || load-modules boot
";

/// Collects what goes into an image. Adding the same path again replaces it.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    // Sorted, so that a directory comes before what is in it and equal inputs give equal bytes.
    nodes: BTreeMap<String, Node>,
    /// Group → lines `module arguments`, in load order.
    groups: BTreeMap<String, Vec<String>>,
}

impl Builder {
    /// An image with empty mount points and nothing else.
    #[must_use]
    pub fn new() -> Self {
        let nodes = DIRECTORIES.iter().map(|path| ((*path).to_owned(), Node::Directory)).collect();
        Self { nodes, groups: BTreeMap::new() }
    }

    /// Adds the machine's static busybox as `/bin/busybox` with a link for each of its commands.
    ///
    /// # Errors
    /// Where the package `busybox-static` is not installed.
    pub fn busybox(mut self) -> Result<Self> {
        let applets = Run::new(BUSYBOX).arg("--list").text().context("the package busybox-static is needed")?;
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            self.add(&format!("/bin/{applet}"), Node::Link("busybox".into()));
        }
        self.file(Path::new(BUSYBOX), "/bin/busybox")
    }

    /// Adds modules of `kernel` with everything they need, to be loaded by `load-modules <group>` in that order; the
    /// group `boot` is loaded by [`Builder::init`]'s script. A name may be followed by the module's arguments:
    /// `"kvm_amd nested=0"`. What the kernel has built in is left out.
    ///
    /// # Errors
    /// Where the kernel has no such module.
    pub fn modules(mut self, group: &str, kernel: &Kernel, names: &[&str]) -> Result<Self> {
        let tree = ModuleTree::of(kernel)?;
        for wanted in names {
            let (name, arguments) = wanted.split_once(' ').unwrap_or((wanted, ""));
            let order = tree.load_order(name)?;
            for (position, module) in order.iter().enumerate() {
                let arguments = if position + 1 == order.len() { arguments } else { "" };
                let content = module.read(kernel)?;
                self.add_module(group, &module.name, content, arguments);
            }
        }
        Ok(self)
    }

    /// Adds a module built elsewhere to a group, after what is in it.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn module_file(mut self, group: &str, path: &Path, arguments: &str) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
        let content = fs::read(path).with_context(|| format!("cannot read the module {}", path.display()))?;
        self.add_module(group, &name, content, arguments);
        Ok(self)
    }

    /// Adds a copy of a file of this machine, executable where it is executable here.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn file(mut self, from: &Path, path: &str) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let explain = || format!("cannot put {} into an image", from.display());
        let executable = fs::metadata(from).with_context(explain)?.permissions().mode() & 0o111 != 0;
        let content = fs::read(from).with_context(explain)?;
        self.add(path, Node::File { mode: if executable { 0o755 } else { 0o644 }, content });
        Ok(self)
    }

    /// Adds a program of this machine, and the libraries that it is linked to, at the places where they are here.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn program(mut self, path: &str) -> Result<Self> {
        let linked = Run::new("ldd").arg(path).text()?;
        for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
            self = self.file(Path::new(library), library)?;
        }
        self.file(Path::new(path), path)
    }

    /// Adds a file with this content.
    #[must_use]
    pub fn text(mut self, path: &str, content: &str) -> Self {
        self.add(path, Node::File { mode: 0o644, content: content.into() });
        self
    }

    /// Adds a shell script, executable.
    #[must_use]
    pub fn script(mut self, path: &str, content: &str) -> Self {
        self.add(path, Node::File { mode: 0o755, content: content.into() });
        self
    }

    /// Adds `/init`: it mounts `/proc`, `/sys`, `/dev` and `/tmp`, loads the module group `boot`, and goes on with
    /// `script`, which must not return: the kernel panics when `/init` ends.
    #[must_use]
    pub fn init(self, script: &str) -> Self {
        self.script("/bin/load-modules", LOAD_MODULES).script("/init", &format!("{INIT_PREFIX}{script}\n"))
    }

    /// The image's bytes.
    ///
    /// # Errors
    /// Where a file is too large for the format (4 GiB).
    pub fn bytes(mut self) -> Result<Vec<u8>> {
        for (group, lines) in std::mem::take(&mut self.groups) {
            self = self.text(&format!("/etc/modules/{group}"), &lines.concat());
        }
        cpio::archive(self.nodes.iter().map(|(path, node)| (path.as_str(), node)))
    }

    /// Writes the image into the cache and returns its path. Equal images are one file; one not asked for in a day
    /// may be dropped.
    ///
    /// # Errors
    /// As [`Builder::bytes`], and failures to write.
    pub fn build(self, cache: &Cache) -> Result<PathBuf> {
        let bytes = self.bytes()?;
        let name = Key::new().with(&bytes).name();
        cache.drop_unused("initramfs", UNUSED_FOR)?;
        let entry = cache.entry("initramfs", &name, |dir| Ok(fs::write(dir.join("initramfs.cpio"), &bytes)?))?;
        Ok(entry.join("initramfs.cpio"))
    }

    fn add_module(&mut self, group: &str, name: &str, content: Vec<u8>, arguments: &str) {
        self.add(&format!("/lib/modules/{name}.ko"), Node::File { mode: 0o644, content });
        let lines = self.groups.entry(group.to_owned()).or_default();
        // Needed by several: the first place is the right one.
        if lines.iter().all(|line| line.split_whitespace().next() != Some(name)) {
            lines.push(format!("{name} {arguments}\n"));
        }
    }

    fn add(&mut self, path: &str, node: Node) {
        let path = path.trim_start_matches('/');
        for (slash, _) in path.match_indices('/') {
            self.nodes.entry(path[..slash].to_owned()).or_insert(Node::Directory);
        }
        self.nodes.insert(path.to_owned(), node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_before_what_is_in_them() {
        let builder = Builder::new().text("/a/b/c", "x").text("/a.d/e", "y");
        let paths: Vec<_> = builder.nodes.keys().map(String::as_str).collect();
        let at = |path| paths.iter().position(|other| *other == path).unwrap();
        assert!(at("a") < at("a/b") && at("a/b") < at("a/b/c") && at("a.d") < at("a.d/e"));
    }

    #[test]
    fn the_order_of_adding_does_not_change_the_bytes() {
        let one = Builder::new().text("/x", "1").script("/y", "2").bytes().unwrap();
        let other = Builder::new().script("/y", "2").text("/x", "1").bytes().unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn a_module_needed_twice_is_loaded_once_and_first() {
        let mut builder = Builder::new();
        for name in ["virtio_ring", "virtio_blk", "virtio_ring", "virtio_rng"] {
            builder.add_module("boot", name, Vec::new(), "");
        }
        assert_eq!(builder.groups["boot"], ["virtio_ring \n", "virtio_blk \n", "virtio_rng \n"]);
    }

    #[test]
    fn equal_images_are_one_file_in_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        let build = || Builder::new().init("poweroff -f").build(&cache).unwrap();
        assert_eq!(build(), build());
    }
}
