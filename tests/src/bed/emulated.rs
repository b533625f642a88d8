//! An emulated host with real `kvm-amd` in it.
//!
//! One CPU: with two, QEMU's nested SVM corrupts the host under load. The CPU model is one whose emulation boots
//! every guest kernel. Even so the whole host hangs or dies once in a while; what was left to run is then run on a new
//! one, and a case that takes three hosts down has failed.

use super::files::GuestFiles;
use super::qemu::{self, CPU, Emulated, End, HEARTBEAT};
use super::{Images, Job, Outcome};
use anyhow::Result;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the host has: room for the images twice (archive and files), a guest, and its store.
const MEMORY_MIB: u32 = 3072;
/// Timers tick by themselves: QEMU's nested SVM now and then loses an interrupt, and with a timer that is set anew by each
/// interrupt nothing that sleeps would ever wake again.
const HOST_CMDLINE: &str = "tmem.emulated-host nohz=off highres=off";
/// Size of the host's own disk, a sparse file of this machine.
const DISK_BYTES: u64 = 1 << 30;
/// Many heartbeats.
const SILENCE: Duration = Duration::from_secs(150);
/// Hosts that a job may use up.
const HOSTS: u32 = 3;

/// Runs the job's cases in an emulated host. Returns its last lines.
pub(super) fn run(images: &Images, job: &Job, heard: &mut dyn FnMut(Outcome)) -> Result<String> {
    let guest = GuestFiles::of(images, job)?;
    let mut left: Vec<_> = job.cases.iter().map(|case| case.name).collect();
    let mut hosts = 0;
    loop {
        let script = format!(
            "{HEARTBEAT}\ntmem-cases host --tmem /bin/tmem --images /images --scratch /tmp/cases --kernel {} {}",
            job.kernel,
            left.join(" ")
        );
        let initramfs = images.host(&guest, &script)?;
        let end = run_host(images, &guest, &initramfs, &mut |outcome| {
            left.retain(|name| *name != outcome.case);
            heard(outcome);
        })?;
        hosts += 1;
        let (how, tail) = match end {
            End::Hung(tail) => ("hung", tail),
            End::Off(tail) => ("ended early", tail),
        };
        if left.is_empty() || hosts == HOSTS {
            return Ok(tail);
        }
        eprintln!("an emulated host {how} with {} to run: starting another\n{tail}", left.join(", "));
    }
}

fn run_host(images: &Images, guest: &GuestFiles, initramfs: &Path, heard: &mut dyn FnMut(Outcome)) -> Result<End> {
    let kernel = images.host_kernel()?;
    let scratch = images.scratch()?;
    let disk = scratch.path().join("disk");
    File::create(&disk)?.set_len(DISK_BYTES)?;
    let lent: Vec<_> = guest.disks.iter().flatten().map(PathBuf::as_path).collect();
    let machine = Emulated {
        cpu: &format!("{CPU},+svm,+npt"),
        cpus: 1,
        memory_mib: MEMORY_MIB,
        kernel: &kernel.bzimage,
        initramfs,
        cmdline: HOST_CMDLINE,
        silence: SILENCE,
        console: images.console,
        disks: &[&disk],
        // In the order of the cases' names for them, after the host's own.
        lent: &lent,
    };
    qemu::run(&machine, qemu::outcomes(heard))
}
