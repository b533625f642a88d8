//! The host's memory: what of it there is, and what else the host does with it.

use policy::ByteSize;
use tmem::{Client, ClientConfig};

use super::{Finding, in_full, read};

const MIB_BYTES: u64 = 1 << 20;

pub(super) fn findings() -> Vec<Finding> {
    let meminfo = read("/proc/meminfo").unwrap_or_default();
    let mut findings = vec![store(), available(&meminfo)];
    findings.extend(read("/sys/kernel/mm/transparent_hugepage/enabled").map(|modes| huge_pages(&modes)));
    findings.extend(swap(&meminfo));
    findings.extend(read("/sys/kernel/mm/ksm/run").map(|run| merging(&run)));
    findings.push(pressure(read("/proc/pressure/memory").is_some()));
    findings
}

/// A store reserves a long range of addresses, which a limit of the process or of the host can forbid.
fn store() -> Finding {
    match Client::new(ClientConfig::new(MIB_BYTES, [0, 0])) {
        Ok(_) => Finding::good("store", "a store can be made"),
        Err(error) => {
            Finding::bad("store", in_full(&error), "ulimit -v unlimited, and sysctl vm.overcommit_memory=0 (or 1)")
        }
    }
}

/// A line of `/proc/meminfo`, in bytes.
fn bytes_of(meminfo: &str, key: &str) -> u64 {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kib = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(0u64).saturating_mul(1024)
}

/// In whole MiB, so that it reads well.
fn size(bytes: u64) -> ByteSize {
    ByteSize(bytes / MIB_BYTES * MIB_BYTES)
}

fn available(meminfo: &str) -> Finding {
    let [total, available] = ["MemTotal", "MemAvailable"].map(|key| size(bytes_of(meminfo, key)));
    Finding::good("memory", format!("{available} of {total} are available, for guests and their stores"))
}

/// `modes` is like `always [madvise] never`.
fn huge_pages(modes: &str) -> Finding {
    let thing = "huge pages";
    let chosen = modes.split_whitespace().find_map(|mode| mode.strip_prefix('[')?.strip_suffix(']'));
    match chosen.unwrap_or("unknown") {
        "always" => Finding::good(thing, "transparent huge pages back the memory of guests"),
        chosen => Finding::weak(
            thing,
            format!("transparent huge pages are set to {chosen}: guests run on small pages, with more TLB misses"),
            "echo always > /sys/kernel/mm/transparent_hugepage/enabled, where guests have gigabytes",
        ),
    }
}

fn swap(meminfo: &str) -> Option<Finding> {
    let swap = bytes_of(meminfo, "SwapTotal");
    (swap > 0).then(|| {
        Finding::weak(
            "host swap",
            format!("the host has {} of swap: guests' memory, and stores, may be paged out a second time", size(swap)),
            "swapoff -a, or memory.swap.max=0 for the cgroup of VMs; size limits so that the host does not need it",
        )
    })
}

/// `run` is 1 while pages are merged.
fn merging(run: &str) -> Finding {
    if run == "1" {
        Finding::weak(
            "ksm",
            "KSM is on. tmem gives it nothing to merge, and it costs CPU; merging across VMs leaks between tenants",
            "echo 2 > /sys/kernel/mm/ksm/run, unless other programs of this host want it",
        )
    } else {
        Finding::good("ksm", "KSM is off; equal pages of one VM are merged in its store")
    }
}

fn pressure(is_there: bool) -> Finding {
    if is_there {
        Finding::good("pressure", "the kernel tells memory pressure (PSI)")
    } else {
        Finding::weak(
            "pressure",
            "the kernel does not tell memory pressure: a policy will see less",
            "boot with psi=1, on a kernel with CONFIG_PSI",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_check::Standing;

    const MEMINFO: &str = "MemTotal:       16384000 kB\nMemAvailable:    8192000 kB\nSwapTotal:       2097152 kB\n";

    #[test]
    fn memory_and_swap_are_read_from_meminfo() {
        assert_eq!(available(MEMINFO).found, "8000MiB of 16000MiB are available, for guests and their stores");
        assert!(swap(MEMINFO).unwrap().found.contains("2GiB of swap"));
        assert_eq!(swap("SwapTotal:       0 kB"), None);
    }

    #[test]
    fn the_chosen_mode_is_the_one_in_brackets() {
        assert_eq!(huge_pages("[always] madvise never").standing, Standing::Good);
        assert!(huge_pages("always madvise [never]").found.contains("set to never"));
    }

    #[test]
    fn merging_is_on_only_while_it_runs() {
        let standings = ["0", "1", "2"].map(|run| merging(run).standing);
        assert_eq!(standings, [Standing::Good, Standing::Weak, Standing::Good]);
    }
}
