//! Root disks with Debian on them, as users have them: systemd, the distribution's own kernel and initrd, a login.
//!
//! ```text
//! System ── mmdebstrap ──► a tar ── mke2fs -d ──► root.img (ext4, sparse), and beside it vmlinuz and initrd.img
//! ```
//!
//! Nothing is mounted. Root privileges are not needed either, where this user has subordinate ids and the package
//! `uidmap` is installed: everything happens in a namespace of users then.

mod build;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Error, Result, bail};

use crate::Cache;

/// Packages of every system: what a small server has, and what makes an initrd.
const PACKAGES: [&str; 11] = [
    "dbus",
    "e2fsprogs",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "procps",
    // Without it /etc/resolv.conf is the one of the machine that made the image.
    "systemd-resolved",
    "systemd-sysv",
    "udev",
    "zstd",
];
/// Size of the disk where none is given. The file is sparse.
const DISK_BYTES: u64 = 4 << 30;
const GIB: u64 = 1 << 30;
/// Any card: its name follows from where the VMM puts it. The file's name sorts behind that of what
/// systemd-network-generator(8) makes of `ip=`, `91-default.network` in bookworm: the first that matches counts.
const ETHERNET: &str = "# `ip=` on the kernel's command line goes before this: systemd-network-generator(8).
[Match]
Type=ether

[Network]
DHCP=yes
";

/// A release of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12, Linux 6.1.
    Bookworm,
    /// Debian 13, Linux 6.12.
    Trixie,
    /// What will be the next one.
    Sid,
}

impl Suite {
    /// The suite's name on the mirror.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// The suite whose own kernel is of this series, by the names of [`crate::kernels`].
    #[must_use]
    pub fn with_kernel(name: &str) -> Option<Self> {
        match name {
            "6.1" => Some(Self::Bookworm),
            "6.12" => Some(Self::Trixie),
            "sid" => Some(Self::Sid),
            _ => None,
        }
    }
}

impl FromStr for Suite {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "bookworm" => Ok(Self::Bookworm),
            "trixie" => Ok(Self::Trixie),
            "sid" => Ok(Self::Sid),
            _ => bail!("there is no suite \"{text}\" here; there are bookworm, trixie and sid"),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is to be on a root disk.
#[derive(Debug, Clone)]
pub struct System {
    suite: Suite,
    flavour: String,
    packages: Vec<String>,
    driver: Option<PathBuf>,
    /// Path → content.
    files: BTreeMap<String, String>,
    /// Units.
    enabled: Vec<String>,
    bytes: u64,
}

/// A root disk in the cache, with what boots it. Nobody may write to it: copy it.
#[derive(Debug, Clone)]
pub struct Image {
    /// The disk: raw, one ext4 without a partition table.
    pub disk: PathBuf,
    /// The distribution's kernel.
    pub kernel: PathBuf,
    /// Its initrd.
    pub initrd: PathBuf,
}

impl System {
    /// A small system with a console on the serial port, where root has no password.
    #[must_use]
    pub fn new(suite: Suite) -> Self {
        let system = Self {
            suite,
            flavour: "cloud-amd64".to_owned(),
            packages: PACKAGES.map(str::to_owned).to_vec(),
            driver: None,
            files: BTreeMap::new(),
            enabled: Vec::new(),
            bytes: DISK_BYTES,
        };
        system
            .file("/etc/hostname", "debian\n")
            .file("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost\n")
            .file("/etc/fstab", "/dev/vda / ext4 errors=remount-ro 0 1\n")
            .file("/etc/systemd/network/99-ethernet.network", ETHERNET)
            .enable("systemd-networkd.service")
            .enable("systemd-network-generator.service")
    }

    /// Another build of the kernel than that for virtual machines: `linux-image-FLAVOUR`.
    #[must_use]
    pub fn flavour(mut self, flavour: &str) -> Self {
        flavour.clone_into(&mut self.flavour);
        self
    }

    /// Adds packages with what they depend on, recommendations left out.
    #[must_use]
    pub fn include<S: Into<String>>(mut self, packages: impl IntoIterator<Item = S>) -> Self {
        self.packages.extend(packages.into_iter().map(Into::into));
        self
    }

    /// Installs the driver's package, as made by [`crate::package::driver`], and builds its module.
    #[must_use]
    pub fn driver(mut self, package: PathBuf) -> Self {
        self.driver = Some(package);
        self
    }

    /// Lets the owner of this public key in by ssh, as root.
    #[must_use]
    pub fn ssh_key(self, public: &str) -> Self {
        self.include(["openssh-server"])
            .file("/root/.ssh/authorized_keys", &format!("{}\n", public.trim()))
            // The image has none: each guest makes its own.
            .file(
                "/etc/systemd/system/ssh-host-keys.service",
                "[Unit]\nDescription=Host keys of this machine\nBefore=ssh.service\n\
                 ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key\n\n\
                 [Service]\nType=oneshot\nExecStart=/usr/bin/ssh-keygen -A\n\n\
                 [Install]\nRequiredBy=ssh.service\n",
            )
            .enable("ssh-host-keys.service")
    }

    /// Adds a file with this content, not executable.
    #[must_use]
    pub fn file(mut self, path: &str, content: &str) -> Self {
        self.files.insert(path.to_owned(), content.to_owned());
        self
    }

    /// Has a unit of systemd started at boot.
    #[must_use]
    pub fn enable(mut self, unit: &str) -> Self {
        self.enabled.push(unit.to_owned());
        self
    }

    /// The disk's size instead of 4 GiB: at least 1 GiB, a multiple of 4 KiB.
    ///
    /// # Errors
    /// Where it is not.
    pub fn bytes(mut self, bytes: u64) -> Result<Self> {
        if bytes < GIB || !bytes.is_multiple_of(4096) {
            bail!("a root disk has at least 1GiB and a multiple of 4KiB, not {bytes} bytes");
        }
        self.bytes = bytes;
        Ok(self)
    }

    /// The names of what is installed, but for the driver.
    fn all_packages(&self) -> String {
        let mut names = self.packages.join(",");
        names += &format!(",linux-image-{}", self.flavour);
        if self.driver.is_some() {
            names += &format!(",dkms,linux-headers-{}", self.flavour);
        }
        names
    }

    /// Makes the disk, or finds the one in the cache that was made of the same packages. It is made again when the
    /// mirror's suite has changed.
    ///
    /// # Errors
    /// Where a package is not in the suite, the mirror does not answer, or the system does not fit on the disk.
    pub fn build(&self, cache: &Cache) -> Result<Image> {
        build::image(cache, self)
    }
}

/// The `vm.toml` of a VM on a disk: its own copy, with its kernel and initrd. Paths as the file shall have them.
#[must_use]
pub fn vm_toml(disk: &Path, kernel: &Path, initrd: &Path) -> String {
    format!(
        "kernel = {kernel:?}\n\
         initrd = {initrd:?}\n\
         cmdline = \"console=ttyS0 root=/dev/vda\"\n\
         vcpus = 2\n\
         memory = \"512MiB\"\n\
         \n\
         [[disk]]\n\
         path = {disk:?}\n\
         \n\
         # For a network make the tap (docs/vm-toml.md), take the marks off here, and where no DHCP server is behind it\n\
         # add an address to `cmdline` above: ip=192.168.77.2::192.168.77.1:255.255.255.0:::none\n\
         # [[net]]\n\
         # tap = \"tap0\"\n\
         \n\
         [tmem]\n\
         limit = \"200%\"                 # most host memory that the store may take, of `memory`\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_read_as_it_is_written() {
        for suite in [Suite::Bookworm, Suite::Trixie, Suite::Sid] {
            assert_eq!(suite.to_string().parse::<Suite>().unwrap(), suite);
        }
        let error = "buster".parse::<Suite>().unwrap_err().to_string();
        assert!(error.contains("buster") && error.contains("trixie"), "{error}");
    }

    #[test]
    fn a_disk_too_small_or_of_half_a_block_is_refused() {
        let system = || System::new(Suite::Sid);
        assert!(system().bytes(GIB).is_ok());
        assert!(system().bytes(GIB - 4096).is_err());
        assert!(system().bytes(GIB + 512).is_err());
    }

    #[test]
    fn a_key_brings_the_server_and_no_host_key() {
        let system = System::new(Suite::Sid).ssh_key("ssh-ed25519 AAAA me\n");
        assert!(system.packages.iter().any(|package| package == "openssh-server"));
        assert_eq!(system.files["/root/.ssh/authorized_keys"], "ssh-ed25519 AAAA me\n");
    }
}
