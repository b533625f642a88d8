//! What a VM of a job boots, as files of this machine.

use super::{Images, Job};
use crate::case::Under;
use anyhow::{Context, Result, bail};
use images::debian::{Suite, System};
use images::kernels::Kernel;
use std::path::PathBuf;

/// Runs the guest half of the case that the kernel's command line names. `tmem.login` leaves the console to a login.
const GUEST_HALF: &str = "[Unit]
Description=Guest half of an end-to-end case
ConditionKernelCommandLine=tmem.case
ConditionKernelCommandLine=!tmem.login
SuccessAction=poweroff
FailureAction=poweroff

[Service]
Type=oneshot
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh -c 'mount LABEL=programs /mnt && exec /mnt/tmem-cases guest'

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
    /// Debian's root disk, which must not be written to, and the disk with the programs.
    pub disks: Option<[PathBuf; 2]>,
}

/// Names of the disks where the host half finds them.
pub(super) const DISKS: [&str; 2] = ["root", "programs"];

impl GuestFiles {
    /// What the VMs of a job boot.
    pub(super) fn of(images: &Images, job: &Job) -> Result<Self> {
        if job.under == Under::Debian {
            return Self::debian(images, &job.kernel);
        }
        let kernel: Kernel = images.kernel(&job.kernel)?;
        let initramfs = images.guest(&kernel, false)?;
        Ok(Self { name: job.kernel.clone(), kernel: kernel.bzimage, initramfs, disks: None })
    }

    fn debian(images: &Images, kernel: &str) -> Result<Self> {
        let Some(suite) = Suite::with_kernel(kernel) else { bail!("no Debian has kernel {kernel} as its own") };
        let system =
            System::new(suite).file("/etc/systemd/system/guest-half.service", GUEST_HALF).enable("guest-half.service");
        let image = system.build(&images.cache).with_context(|| format!("the root disk of {suite}"))?;
        let programs = images::disk::of_files(&images.cache, DISKS[1], &[&images.cases, &images.load])?;
        Ok(Self {
            name: kernel.to_owned(),
            kernel: image.kernel,
            initramfs: image.initrd,
            disks: Some([image.disk, programs]),
        })
    }
}
