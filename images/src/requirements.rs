//! Debian packages this machine needs, and how they get there.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{command::Run, progress::Step};

/// A package and a file that is there when it is installed.
const NEEDED: [(&str, &str); 22] = [
    ("bc", "/usr/bin/bc"),
    ("bison", "/usr/bin/bison"),
    ("btrfs-progs", "/sbin/mkfs.btrfs"),
    ("busybox-static", "/bin/busybox"),
    ("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    ("e2fsprogs", "/sbin/mkfs.ext4"),
    ("flex", "/usr/bin/flex"),
    ("gcc", "/usr/bin/gcc"),
    ("gcc-12", "/usr/bin/gcc-12"),
    ("iproute2", "/sbin/ip"),
    ("kmod", crate::module_tree::DEPMOD),
    ("libc6-dev", "/usr/include/stdio.h"),
    ("libelf-dev", "/usr/include/libelf.h"),
    ("make", "/usr/bin/make"),
    ("mmdebstrap", "/usr/bin/mmdebstrap"),
    ("mount", "/usr/bin/mount"),
    ("openssh-client", "/usr/bin/ssh"),
    ("qemu-system-x86", "/usr/bin/qemu-system-x86_64"),
    ("strace", "/usr/bin/strace"),
    // Who is not root installs Debian in a namespace of users.
    ("uidmap", "/usr/bin/newuidmap"),
    ("xfsprogs", "/sbin/mkfs.xfs"),
    ("xz-utils", "/usr/bin/xz"),
];

/// What `cargo xtask soak` needs besides.
const NEEDED_TO_SOAK: [(&str, &str); 1] = [("valgrind", "/usr/bin/valgrind")];

/// The packages that are not installed.
#[must_use]
pub fn missing() -> Vec<&'static str> {
    missing_of(&NEEDED)
}

fn missing_of(needed: &[(&'static str, &str)]) -> Vec<&'static str> {
    needed.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect()
}

/// Makes sure that nothing is missing: installs it as root; as a user says which command does.
///
/// # Errors
/// Where packages are missing and this process may not install them, or apt-get fails.
pub fn install() -> Result<()> {
    install_all(&missing())
}

/// The same for `cargo xtask soak`, which needs more.
///
/// # Errors
/// As [`install`].
pub fn install_to_soak() -> Result<()> {
    install_all(&[missing(), missing_of(&NEEDED_TO_SOAK)].concat())
}

fn install_all(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("packages are missing; install them with:\n    sudo apt-get install {}", missing.join(" "));
    }
    let step = Step::start(format!("installing {}", missing.join(" ")));
    let apt_get = || Run::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "--yes"]);
    apt_get().arg("update").done()?;
    apt_get().args(["install", "--no-install-recommends"]).args(missing).done()?;
    step.done();
    Ok(())
}
