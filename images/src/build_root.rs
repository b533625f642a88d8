//! A root file system with a suite's own compiler and libraries, for kernels whose build programs do not run on this
//! machine: packages unpacked into a directory, nothing installed, no root privileges needed.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    Cache,
    apt::{self, Suite},
    command::Run,
    kernels::{self, Kernel},
    progress::Step,
};

/// What kbuild calls beside the compiler. `base-files` brings the links of a merged /usr.
const PACKAGES: [&str; 10] =
    ["base-files", "bash", "coreutils", "dash", "diffutils", "findutils", "grep", "make", "mawk", "sed"];
/// Where the kernel's packages and the module's sources appear inside.
pub(crate) const KERNEL: &str = "/kernel";
pub(crate) const MODULE: &str = "/module";

/// Enters the root in namespaces of its own: mounts are seen by nobody else and end with the command.
const ENTER: &str = r#"set -e
root=$1 kernel=$2 module=$3
shift 3
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount --bind "$kernel" "$root/kernel"
mount --bind "$module" "$root/module"
exec chroot "$root" "$@"
"#;

/// The build root of a kernel's suite.
pub(crate) struct BuildRoot(PathBuf);

impl BuildRoot {
    /// Finds or makes the root for `kernel`: about 80 MB to fetch and 280 MB on disk.
    pub(crate) fn of(cache: &Cache, kernel: &Kernel) -> Result<Self> {
        let name = format!("{}_{}", kernel.release, kernel.package_version);
        cache.drop_unused("build-roots", kernels::UNUSED_FOR)?;
        let root = cache.entry("build-roots", &name, |staging| fill(cache, kernel, staging))?;
        Ok(Self(root))
    }

    /// A command inside, with the kernel's packages at [`KERNEL`] and `module` at [`MODULE`].
    pub(crate) fn command(&self, kernel: &Kernel, module: &Path) -> Run {
        let unshare = Run::new("unshare").arg("--mount").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        // Whoever is root already needs no namespace of users to mount and chroot.
        let unshare = if rustix::process::geteuid().is_root() { unshare } else { unshare.arg("--map-root-user") };
        unshare.args(["sh", "-c", ENTER, "enter"]).arg(&self.0).arg(&kernel.root).arg(module)
    }
}

fn fill(cache: &Cache, kernel: &Kernel, staging: &Path) -> Result<()> {
    let compiler =
        compiler_of(&fs::read_to_string(&kernel.config)?).context("the kernel does not name its compiler")?;
    let kbuild = kbuild_package(kernel)?;
    let suite = Suite::open(cache, &kernel.recipe.suite)?;
    suite.refresh()?;
    let step = Step::start(format!("making a build root of {} for {}", kernel.recipe.suite, kernel.release));
    let names: Vec<_> = PACKAGES.iter().copied().chain([compiler.as_str(), kbuild.as_str()]).collect();
    let debs = suite.download_closure(&names)?;
    // First, so that /bin and /lib are links before anything is unpacked into them.
    let is_base =
        |deb: &&PathBuf| deb.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"base-files_"));
    for deb in debs.iter().filter(is_base).chain(debs.iter().filter(|deb| !is_base(deb))) {
        apt::unpack(deb, staging)?;
    }
    // What the packages' scripts would have chosen among alternatives.
    symlink("mawk", staging.join("usr/bin/awk"))?;
    for mount_point in ["dev", "proc", KERNEL, MODULE] {
        fs::create_dir_all(staging.join(mount_point.trim_start_matches('/')))?;
    }
    for deb in &debs {
        fs::remove_file(deb)?;
    }
    step.done();
    Ok(())
}

/// The package of the compiler a kernel was built with: `CONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-16 (…` → `gcc-16`.
fn compiler_of(config: &str) -> Option<String> {
    let text = config.lines().find_map(|line| line.strip_prefix("CONFIG_CC_VERSION_TEXT=\""))?;
    let program = text.split_whitespace().next()?;
    Some(program[program.find("gcc-")?..].to_owned())
}

/// The package of the kernel's build programs, whose dependencies are the libraries they need.
fn kbuild_package(kernel: &Kernel) -> Result<String> {
    let lib = kernel.root.join("usr/lib");
    fs::read_dir(&lib)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("linux-kbuild-"))
        .with_context(|| format!("{} holds no linux-kbuild", lib.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_the_one_the_kernel_was_built_with() {
        let config = "# comment\nCONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-16 (Debian 16.2.0-4) 16.2.0\"\n";
        assert_eq!(compiler_of(config).unwrap(), "gcc-16");
        assert_eq!(compiler_of("CONFIG_CC_VERSION_TEXT=\"clang version 20\"\n"), None);
    }
}
