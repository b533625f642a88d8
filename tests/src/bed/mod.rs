//! Where the cases run: on this machine's KVM where it has hardware behind it, else in an emulated host.
//!
//! Both run the same two programs, `tmem` and `tmem-cases host`; a bed only decides what machine they start on and
//! brings their outcomes back.

mod direct;
mod emulated;
mod files;
mod image;
mod job;
mod outcome;
mod plain;
mod qemu;

pub use image::Images;
pub use job::{Job, jobs, run};
pub use outcome::Outcome;

use std::fmt;
use std::fs;

/// What KVM under the cases there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bed {
    /// This machine's own KVM.
    Direct,
    /// KVM of a host that QEMU emulates, AMD's SVM included: slow, but real KVM.
    Emulated,
}

impl Bed {
    /// The bed that fits this machine.
    #[must_use]
    pub fn choose() -> Self {
        let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let has_hardware = flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm");
        if has_hardware && fs::File::options().read(true).write(true).open("/dev/kvm").is_ok() {
            Self::Direct
        } else {
            Self::Emulated
        }
    }

    /// How many jobs at a time: an emulated host has one CPU, so two of them fill two.
    #[must_use]
    pub fn parallel_jobs(self) -> usize {
        match self {
            Self::Direct => 1,
            Self::Emulated => std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(4)),
        }
    }
}

impl fmt::Display for Bed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct: this machine's KVM",
            Self::Emulated => "emulated: kvm-amd in a host that QEMU emulates (times mean nothing)",
        })
    }
}
