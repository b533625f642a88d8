//! What a VM of a job boots, as files of this machine.

use super::{Images, Job};
use crate::case::{self, Under};
use anyhow::{Context, Result, bail};
use images::debian::{Suite, System};
use images::kernels::Kernel;
use images::{package, ssh};
use std::fs;
use std::path::PathBuf;

/// Runs the guest half of the case that the kernel's command line names. `tmem.login` leaves the console to a login.
const GUEST_HALF: &str = "[Unit]
Description=Guest half of an end-to-end case
ConditionKernelCommandLine=tmem.case
ConditionKernelCommandLine=!tmem.login

[Service]
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh -c 'mount LABEL=programs /mnt && /mnt/tmem-cases guest; systemctl poweroff'

[Install]
WantedBy=multi-user.target
";

/// What a VM boots.
#[derive(Clone, Debug)]
pub(super) struct GuestFiles {
    /// A name for people: the kernel's, or Debian's.
    pub name: String,
    /// The kernel.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initramfs: PathBuf,
    /// More of it, for cases that ask: the modules of file systems.
    pub file_systems: Option<PathBuf>,
    /// Debian's root disk, which must not be written to, and the disk with the programs.
    pub disks: Option<[PathBuf; 2]>,
    /// The key that opens a Debian guest by ssh.
    pub ssh_key: Option<PathBuf>,
}

/// Version of a package to upgrade to.
const NEXT_VERSION: &str = "0.1.0+next";

/// Name of [`GuestFiles::file_systems`] where the host half finds it.
pub(super) const FILE_SYSTEMS: &str = "file-systems";

/// Name of [`GuestFiles::ssh_key`] there.
pub(super) const SSH_KEY: &str = "ssh-key";

/// Names of the disks where the host half finds them.
pub(super) const DISKS: [&str; 2] = ["root", "programs"];

impl GuestFiles {
    /// What the VMs of a job boot.
    pub(super) fn of(images: &Images, job: &Job) -> Result<Self> {
        if let Under::Debian(system) = job.under {
            return Self::debian(images, &job.kernel, system);
        }
        let kernel: Kernel = images.kernel(&job.kernel)?;
        let initramfs = images.guest(&kernel, false)?;
        let file_systems = images.file_systems(&kernel)?;
        Ok(Self {
            name: job.kernel.clone(),
            kernel: kernel.bzimage,
            initramfs,
            file_systems,
            disks: None,
            ssh_key: None,
        })
    }

    fn debian(images: &Images, kernel: &str, wanted: case::System) -> Result<Self> {
        let Some(suite) = Suite::with_kernel(kernel) else { bail!("no Debian has kernel {kernel} as its own") };
        let key = ssh::test_key(&images.cache)?;
        let system = System::new(suite)
            .flavour(wanted.flavour)
            .include(wanted.packages.iter().copied())
            .driver(package::driver(&images.cache, package::VERSION)?)
            .ssh_key(&fs::read_to_string(key.with_extension(ssh::PUBLIC))?)
            .file("/etc/systemd/system/guest-half.service", GUEST_HALF)
            .enable("guest-half.service");
        let image = system.build(&images.cache).with_context(|| format!("the root disk of {suite}"))?;
        let next = package::driver(&images.cache, NEXT_VERSION)?;
        let programs = images::disk::of_files(&images.cache, DISKS[1], &[&images.cases, &images.load, &next])?;
        Ok(Self {
            name: kernel.to_owned(),
            kernel: image.kernel,
            initramfs: image.initrd,
            file_systems: None,
            disks: Some([image.disk, programs]),
            ssh_key: Some(key),
        })
    }
}
