//! A guest with two CPUs in plain emulation: the driver's calls are answered by the test store inside the guest, so
//! that its locks are raced by CPUs that really run at the same time. There is no KVM and no host half.

use super::qemu::{self, CPU, Emulated, End};
use super::{Images, Job, Outcome};
use crate::host::make_ext4;
use crate::marker;
use anyhow::Result;
use std::fs::File;
use std::time::{Duration, Instant};

const MEMORY_MIB: u32 = 256;
/// Size of its disk, which has an empty ext4 and is a sparse file of this machine.
const DISK_BYTES: u64 = 64 << 20;
/// Longer than any case: the guest has no heartbeat, which would swap.
const SILENCE: Duration = Duration::from_secs(600);

/// Runs each case of the job in a machine of its own. Returns the last lines of the last.
pub(super) fn run(images: &Images, job: &Job, heard: &mut dyn FnMut(Outcome)) -> Result<String> {
    let kernel = images.kernel(&job.kernel)?;
    let guest = images.guest(&kernel, true)?;
    let mut last = String::new();
    for case in &job.cases {
        let started = Instant::now();
        let scratch = images.scratch()?;
        let disk = scratch.path().join("disk");
        File::create(&disk)?.set_len(DISK_BYTES)?;
        make_ext4(&disk)?;
        let machine = Emulated {
            cpu: CPU,
            cpus: 2,
            memory_mib: MEMORY_MIB,
            kernel: &kernel.bzimage,
            initramfs: &guest,
            cmdline: &format!("loglevel=4 oops=panic panic_on_warn=1 watchdog_thresh=60 tmem.case={}", case.name),
            silence: SILENCE,
            console: images.console,
            disks: &[&disk],
            lent: &[],
        };
        let (mut ended, mut notes) = (None, Vec::new());
        let end = qemu::run(&machine, |line| match marker::parse(line) {
            Some((marker::DONE, _)) => ended = Some(None),
            Some((marker::FAILED, why)) => ended = Some(Some(why.as_str().unwrap_or_default().to_owned())),
            Some((marker::NOTE, figure)) => notes.push(figure.as_str().unwrap_or_default().to_owned()),
            _ => {}
        })?;
        let (End::Off(tail) | End::Hung(tail)) = end;
        last = tail;
        let failure = match ended {
            Some(failure) => failure.map(|why| format!("{why}\n{last}")),
            None => Some(format!("its machine ended before it reported\n{last}")),
        };
        heard(Outcome {
            case: case.name.to_owned(),
            kernel: job.kernel.clone(),
            seconds: started.elapsed().as_secs_f64(),
            notes,
            failure,
        });
    }
    Ok(last)
}
