//! The images that the beds boot: a guest's for each kernel, and that of the emulated host.

use super::files::{FILE_SYSTEMS, GuestFiles, SSH_KEY};
use crate::host::{MKFS, MKFS_OF_MODULES, SSH};
use anyhow::{Context, Result};
use images::initramfs::Builder;
use images::kernels::{self, Kernel};
use images::{Cache, driver, programs};
use std::path::PathBuf;
use tempfile::TempDir;

/// The kernel of the emulated host.
const HOST_KERNEL: &str = "6.12";
/// Modules of a guest: devices of our VMM, the panic event, the power button, and what cases use.
const GUEST_MODULES: [&str; 5] = ["virtio_mmio", "virtio_blk", "virtio-rng", "button", "evdev"];
/// Modules of the emulated host.
const HOST_MODULES: [&str; 5] = ["kvm", "kvm_amd nested=0", "virtio_pci", "virtio_blk", "tun"];
/// Modules of the disk of a guest in plain emulation.
const PLAIN_MODULES: [&str; 1] = ["virtio_pci"];
/// Module of a guest's network card, loaded by the cases that have one. Our own kernels have none.
const NETWORK_MODULES: [&str; 1] = ["virtio_net"];
/// Modules of file systems, for cases that ask for them.
const FILE_SYSTEM_MODULES: [&str; 2] = ["xfs", "btrfs"];
/// The module of the panic event: its name has changed.
const PANIC_MODULES: [&str; 2] = ["pvpanic_mmio", "pvpanic"];

/// Makes images, from the cache where it has them.
#[derive(Debug)]
pub struct Images {
    pub(super) cache: Cache,
    /// The `tmem` command, static.
    pub tmem: PathBuf,
    /// The case runner, static.
    pub cases: PathBuf,
    /// The load generator, static.
    pub load: PathBuf,
    /// Whether what machines say is printed.
    pub(super) console: bool,
}

impl Images {
    /// Builds the programs that go into images.
    ///
    /// # Errors
    /// Where they do not build or there is no place for a cache.
    pub fn new() -> Result<Self> {
        Ok(Self {
            cache: Cache::open()?,
            tmem: programs::guest("tmem")?,
            cases: programs::guest("tmem-cases")?,
            load: programs::guest("tmem-load")?,
            console: false,
        })
    }

    /// Prints what the machines say, or not.
    #[must_use]
    pub fn console(self, console: bool) -> Self {
        Self { console, ..self }
    }

    /// A directory on a real disk of this machine, gone with what is returned.
    pub(super) fn scratch(&self) -> Result<TempDir> {
        self.cache.scratch()
    }

    /// The kernel of that name.
    ///
    /// # Errors
    /// Where it cannot be fetched.
    pub fn kernel(&self, name: &str) -> Result<Kernel> {
        kernels::fetch(&self.cache, name)
    }

    /// The kernel that emulated hosts run.
    ///
    /// # Errors
    /// Where it cannot be fetched.
    pub fn host_kernel(&self) -> Result<Kernel> {
        self.kernel(HOST_KERNEL)
    }

    /// A guest's initramfs: busybox, the driver (`debug` adds its test store, and is for plain emulation), the load
    /// generator, the guest halves.
    ///
    /// # Errors
    /// Where the driver does not build or the image cannot be written.
    pub fn guest(&self, kernel: &Kernel, debug: bool) -> Result<PathBuf> {
        let driver =
            driver::build(&self.cache, kernel, debug).with_context(|| format!("the driver for {}", kernel.release))?;
        let mut builder = Builder::new()
            .busybox()?
            .modules("boot", kernel, &GUEST_MODULES)?
            .module_file("tmem", &driver.tmem, "")?
            .file(&self.load, "/bin/tmem-load")?
            .file(&self.cases, "/bin/tmem-cases")?;
        if let Some(module) = driver.disk_cache {
            builder = builder.modules("disk-cache", kernel, &["dm_mod"])?.module_file("disk-cache", &module, "")?;
        }
        if debug {
            builder = builder.modules("boot", kernel, &PLAIN_MODULES)?;
        }
        for name in PANIC_MODULES {
            if let Ok(with) = builder.clone().modules("boot", kernel, &[name]) {
                builder = with;
            }
        }
        if let Ok(with) = builder.clone().modules("network", kernel, &NETWORK_MODULES) {
            builder = with;
        }
        builder.init("tmem-cases guest; poweroff -f").build(&self.cache)
    }

    /// An archive with the modules of file systems as group `file-systems`, to go behind a guest's initramfs; nothing
    /// where the kernel is our own, which has none.
    ///
    /// # Errors
    /// Where a kernel of Debian's has no such module, or the image cannot be written.
    pub fn file_systems(&self, kernel: &Kernel) -> Result<Option<PathBuf>> {
        if kernel.recipe.source.is_some() {
            return Ok(None);
        }
        let builder = Builder::new().modules("file-systems", kernel, &FILE_SYSTEM_MODULES)?;
        builder.build(&self.cache).map(Some)
    }

    /// An emulated host's initramfs: the programs, what its VMs boot but for disks, and `script` to run.
    ///
    /// # Errors
    /// Where the image cannot be written.
    pub(super) fn host(&self, guest: &GuestFiles, script: &str) -> Result<PathBuf> {
        let name = &guest.name;
        let mut builder = Builder::new()
            .busybox()?
            .modules("boot", &self.host_kernel()?, &HOST_MODULES)?
            .file(&self.tmem, "/bin/tmem")?
            .file(&self.cases, "/bin/tmem-cases")?
            .program(MKFS)?
            .program(MKFS_OF_MODULES[0])?
            .program(MKFS_OF_MODULES[1])?
            .file(&guest.kernel, &format!("/images/{name}/bzImage"))?
            .file(&guest.initramfs, &format!("/images/{name}/initramfs"))?;
        if let Some(file_systems) = &guest.file_systems {
            builder = builder.file(file_systems, &format!("/images/{name}/{FILE_SYSTEMS}"))?;
        }
        if let Some(key) = &guest.ssh_key {
            // The client wants to know who it runs for.
            builder = builder
                .program(SSH)?
                .file(key, &format!("/images/{name}/{SSH_KEY}"))?
                .text("/etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
        }
        builder.init(&format!("{script}\npoweroff -f")).build(&self.cache)
    }
}
