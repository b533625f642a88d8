//! What the counters of the kernel, the driver and the host must agree on, without tolerance.

use crate::guest::{Cleancache, Counters};
use crate::host::{Host, Spec};
use anyhow::{Result, anyhow, ensure};
use protocol::VmReport;

/// Swap-header accesses that are not in the kernel's counters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers {
    /// Pages that `mkswap` wrote.
    pub writes: u64,
    /// Pages that `swapon` read.
    pub reads: u64,
}

/// A counter of the host.
pub(super) fn host_counter(report: &VmReport, group: &str, name: &str) -> Result<u64> {
    let counter = report.counters.get(group).and_then(|counters| counters.get(name));
    counter.copied().ok_or_else(|| anyhow!("tmem show has no counter {group}.{name}"))
}

/// The host's counters of a group whose names start so, added up.
pub(super) fn host_sum(report: &VmReport, group: &str, prefix: &str) -> u64 {
    let counters = report.counters.get(group).into_iter().flatten();
    counters.filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
}

/// Counters of the driver that have their like in the store.
const ON_BOTH_SIDES: [(&str, &str); 8] = [
    ("puts_accepted", "puts_accepted"),
    ("puts_rejected_no_space", "puts_rejected_no_space"),
    ("puts_rejected_over_limit", "puts_rejected_over_limit"),
    ("puts_rejected_frozen", "puts_rejected_frozen"),
    ("puts_rejected_poor_ratio", "puts_rejected_poor_ratio"),
    ("puts_rejected_busy", "puts_rejected_busy"),
    ("gets_hit", "gets_hit"),
    ("flushes", "range_flushes"),
];

/// The driver and the host counted the same puts, rejections by reason, gets and flushes, and no page was lost.
pub(super) fn both_sides_agree(guest: &Counters, host: &VmReport) -> Result<()> {
    nothing_is_lost(guest)?;
    for (driver, store) in ON_BOTH_SIDES {
        let (guest, host) = (guest.driver(driver)?, host_counter(host, "store", store)?);
        ensure!(guest == host, "{driver}: the driver counted {guest}, the host {host}");
    }
    Ok(())
}

/// Whatever the driver asked for was there, but for pages of files, which may go at any time; and no call was wrong.
pub(super) fn nothing_is_lost(guest: &Counters) -> Result<()> {
    let misses = guest.driver("gets_miss")?;
    let of_files = ["cleancache_misses", "diskcache_misses", "diskcache_probes_miss"];
    let of_files = of_files.iter().map(|name| guest.driver(name)).sum::<Result<u64>>()?;
    ensure!(misses == of_files, "gets_miss is {misses}, of which of pages of files {of_files}");
    for name in ["gets_failed", "puts_failed", "puts_rejected_other", "flushes_failed"] {
        let count = guest.driver(name)?;
        ensure!(count == 0, "{name} is {count}");
    }
    Ok(())
}

/// On the swap device: accepted + rejected puts = pswpout + header writes, gets = pswpin + header reads. A page read
/// from the backing disk is the get of one that was rejected; a page that the driver backed off from is a rejection
/// that cost no call.
pub(super) fn swap_device_is_exact(guest: &Counters, headers: Headers) -> Result<()> {
    let puts = guest.driver("puts_accepted")? + guest.sum("puts_rejected_") + guest.driver("puts_backed_off")?;
    ensure!(puts == guest.pswpout + headers.writes, "{puts} puts, pswpout {} + {headers:?}", guest.pswpout);
    let gets = guest.driver("gets_hit")? + guest.driver("backing_reads")?;
    ensure!(gets == guest.pswpin + headers.reads, "{gets} gets, pswpin {} + {headers:?}", guest.pswpin);
    Ok(())
}

/// The host half for a guest half that swaps on the device, says `ran` with its counters, and waits.
pub(super) fn run_exactly(host: &mut Host, spec: &Spec) -> Result<()> {
    let mut vm = host.start(spec)?;
    let counters: Counters = serde_json::from_value(vm.expect("ran")?)?;
    both_sides_agree(&counters, &vm.show()?)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    vm.go()?;
    vm.finish()
}

/// Counters of the driver, and those of the host, a group and names, whose sum they equal.
const OF_FILES: [(&str, &str, &[&str]); 4] = [
    ("cleancache_hits", "store", &["gets_exclusive"]),
    ("gets_miss", "store", &["gets_miss", "gets_empty"]),
    ("object_flushes", "hypercall", &["calls_flush_object"]),
    ("pool_destroys", "store", &["pool_destroys"]),
];

/// The kernel, the driver and the host counted the same gets, puts and invalidates of pages of files.
pub(super) fn cleancache_is_exact(kernel: &Cleancache, guest: &Counters, host: &VmReport) -> Result<()> {
    both_sides_agree(guest, host)?;
    let of_kernel: [(u64, &[&str]); 4] = [
        (kernel.succ_gets, &["cleancache_hits"]),
        (kernel.failed_gets, &["cleancache_misses", "cleancache_gets_spared"]),
        (kernel.puts, &["cleancache_puts", "cleancache_declined"]),
        (kernel.invalidates, &["cleancache_flushes"]),
    ];
    for (kernel, names) in of_kernel {
        let driver = names.iter().map(|name| guest.driver(name)).sum::<Result<u64>>()?;
        ensure!(kernel == driver, "{names:?}: the driver counted {driver}, the kernel {kernel}");
    }
    for (name, group, names) in OF_FILES {
        let driver = guest.driver(name)?;
        let host = names.iter().map(|name| host_counter(host, group, name)).sum::<Result<u64>>()?;
        ensure!(host == driver, "{name}: the driver counted {driver}, the host {host} {names:?}");
    }
    Ok(())
}

/// A disk behind a cache, and a guest that has put and got nothing else: driver and host counted the same.
pub(super) fn disk_cache_is_exact(guest: &Counters, host: &VmReport) -> Result<()> {
    both_sides_agree(guest, host)?;
    let puts = guest.driver("puts_accepted")? + guest.sum("puts_rejected_");
    ensure!(guest.driver("diskcache_puts")? == puts, "{puts} puts, not all of them of the disk's cache");
    let hits = guest.driver("diskcache_hits")? + guest.driver("diskcache_probes_hit")?;
    ensure!(hits == guest.driver("gets_hit")?, "hits that are not of the disk's cache");
    for name in ["object_flushes", "pool_destroys", "gets_miss"] {
        let (group, names) = OF_FILES.iter().find(|of| of.0 == name).map_or(("", &[][..]), |of| (of.1, of.2));
        let host = names.iter().map(|name| host_counter(host, group, name)).sum::<Result<u64>>()?;
        ensure!(host == guest.driver(name)?, "{name}: the driver counted {}, the host {host}", guest.driver(name)?);
    }
    Ok(())
}
