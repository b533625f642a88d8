//! What the figures were measured on.

use std::fs;
use std::process::Command;
use std::thread;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Where results come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Model name of the CPU.
    pub(crate) cpu: String,
    /// CPUs that may be used.
    pub(crate) cpus: usize,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// The checkout's revision, with a `+` where it was changed.
    pub(crate) revision: String,
    /// When memory comes in huge pages that nobody asked for: `always`, or not (`madvise`, `never`).
    #[serde(default)]
    pub(crate) huge_pages: String,
    /// The part of the CPUs' time that the host gave to others while this was measured, in percent.
    #[serde(default)]
    pub(crate) stolen_percent: f64,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let changed = if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { "+" };
        Self {
            cpu: model.trim_start_matches([' ', '\t', ':']).to_owned(),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
            revision: git(&["rev-parse", "--short", "HEAD"]) + changed,
            huge_pages: huge_pages().unwrap_or_else(|| "unknown".into()),
            stolen_percent: 0.0,
        }
    }
}

/// What the kernel shows in brackets among what can be chosen.
fn huge_pages() -> Option<String> {
    let choices = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    choices.split_once('[')?.1.split_once(']').map(|(chosen, _)| chosen.to_owned())
}

/// Time of all CPUs since the machine was started, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    all: u64,
    stolen: u64,
}

impl CpuTime {
    pub(crate) fn now() -> Self {
        Self::of(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// user, nice, system, idle, iowait, irq, softirq, steal; those of guests, which follow, are in the first two.
    fn of(stat: &str) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_ascii_whitespace().skip(1).take(8).flat_map(str::parse).collect();
        Self { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or(0) }
    }

    #[expect(clippy::cast_precision_loss, reason = "ticks of one run")]
    pub(crate) fn stolen_percent_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        100.0 * self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

/// What git says; nothing outside a checkout.
fn git(arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

/// CPU time of this process so far, all threads.
pub(crate) fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_is_the_eighth_of_the_times() {
        let before = CpuTime::of("cpu  100 0 0 800 0 0 0 100 50 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
        let after = CpuTime::of("cpu  150 0 0 825 0 0 0 125 90 0\n");
        assert!((after.stolen_percent_since(before) - 25.0).abs() < 1e-9);
        assert!(CpuTime::of("").stolen_percent_since(CpuTime::default()).abs() < 1e-9, "no such file");
    }
}
