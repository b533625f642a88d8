//! An emulated host with real `kvm-amd` in it.
//!
//! One CPU: with two, QEMU's nested SVM corrupts the host under load. The CPU model is one whose emulation boots
//! every guest kernel.

use super::qemu::{self, Emulated};
use super::{Images, Job, Outcome};
use anyhow::Result;
use tempfile::NamedTempFile;

/// What the host has: room for the images twice (archive and files), a guest, and its store.
const MEMORY_MIB: u32 = 3072;
/// Size of the host's own disk, a sparse file of this machine.
const DISK_BYTES: u64 = 1 << 30;

/// Runs the job's cases in one emulated host. Returns its last lines.
pub(super) fn run(images: &Images, job: &Job, heard: &mut dyn FnMut(Outcome)) -> Result<String> {
    let kernel = images.kernel(&job.kernel)?;
    let guest = images.guest(&kernel, false)?;
    let cases: Vec<_> = job.cases.iter().map(|case| case.name).collect();
    let script = format!(
        "tmem-cases host --tmem /bin/tmem --images /images --scratch /tmp/cases --kernel {} {}",
        job.kernel,
        cases.join(" ")
    );
    let host_kernel = images.host_kernel()?;
    let disk = NamedTempFile::new_in(images.scratch())?;
    disk.as_file().set_len(DISK_BYTES)?;
    let machine = Emulated {
        cpu: "EPYC-v3,+svm,+npt",
        cpus: 1,
        memory_mib: MEMORY_MIB,
        kernel: &host_kernel.bzimage,
        initramfs: &images.host(&kernel, &guest, &script)?,
        cmdline: "tmem.emulated-host",
        console: images.console,
        disk: Some(disk.path()),
    };
    qemu::run(&machine, qemu::outcomes(heard))
}
