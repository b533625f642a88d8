//! A swap area that is nearly full, with two writers and free batches of 512: a slot is written again before the host
//! was told that it was freed. A free queue that does not look at later puts loses pages here.

use super::exactness::{nothing_is_lost, run_exactly};
use crate::case::{Case, Runs, Under};
use crate::guest::{Counters, Guest, Load, whole_pages};
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};
use serde_json::json;

/// With the store of the host.
pub(super) const CASE: Case = Case {
    name: "nearly-full",
    shows: "95 % of swap in use, two writers, free batches of 512",
    runs: Runs::ON_6_1.and_debug(),
    host: |host| run_exactly(host, &Spec { memory_mib: 128, vcpus: 2, ..Spec::default() }),
    guest: |guest| {
        guest.load_driver(&["size=96M", "free_batch=512"])?;
        fill_and_verify(guest, 96 << 10)?;
        guest.sync("ran", &json!(Counters::settled()?)).map(drop)
    },
};

const ON_TWO_CPUS: Runs = Runs { test: &["6.1"], soak: crate::case::ALL_KERNELS, under: Under::PlainEmulation };

/// With the test store in the guest, on two CPUs that really run at the same time.
pub(super) const ON_TWO_CPUS_CASE: Case = Case {
    name: "nearly-full-two-cpus",
    shows: "the same, raced by two real CPUs against the test store in the guest",
    runs: ON_TWO_CPUS,
    host: no_host_half,
    guest: |guest| {
        guest.load_driver(&["test_store=1", "test_store_pages=20480", "size=64M", "free_batch=512"])?;
        fill_and_verify(guest, 64 << 10)
    },
};

/// The same with a free queue that loses data: the case above can fail.
pub(super) const NAIVE_CASE: Case = Case {
    name: "nearly-full-naive",
    shows: "a naive free queue loses pages in the same, and that is noticed",
    runs: ON_TWO_CPUS,
    host: no_host_half,
    guest: |guest| {
        guest.load_driver(&[
            "test_store=1",
            "test_store_pages=20480",
            "size=64M",
            "free_batch=512",
            "naive_frees=1",
        ])?;
        let swap = guest.swap_on("/dev/tmem0")?;
        let verified = rewrite_and_check(writers(guest, 64 << 10)?);
        let lost = Counters::settled()?.driver("gets_miss")?;
        ensure!(verified.is_err() && lost > 0, "no page was lost: the case would not notice a bad free queue");
        drop(swap);
        Ok(())
    },
};

fn no_host_half(_: &mut Host) -> Result<()> {
    anyhow::bail!("this case runs in plain emulation, without a host half")
}

fn fill_and_verify(guest: &Guest, swap_kib: u64) -> Result<()> {
    let swap = guest.swap_on("/dev/tmem0")?;
    rewrite_and_check(writers(guest, swap_kib)?)?;
    swap.off()?;
    let counters = Counters::settled()?;
    nothing_is_lost(&counters)?;
    ensure!(counters.driver("frees_cancelled")? > 0, "no slot was written again before its free was sent");
    Ok(())
}

/// Two writers that have filled memory and most of the swap area, and a third for what is missing to 94 % of it: how
/// much the kernel keeps for itself under pressure is not known before. They wait.
fn writers(guest: &Guest, swap_kib: u64) -> Result<Vec<Load>> {
    let writer = |kib, seed| -> Result<Load> {
        let size = whole_pages(kib);
        let mut load = guest.start_load(&[
            "--size",
            &size,
            "--passes",
            "3",
            "--rewrite",
            "70",
            "--seed",
            seed,
            "--hold",
            "line",
        ])?;
        load.wait_until_holding()?;
        Ok(load)
    };
    let each = (guest.meminfo_kib("MemAvailable")? * 80 / 100 + swap_kib * 90 / 100) / 2;
    let mut writers = vec![writer(each, "1")?, writer(each, "2")?];
    let (total, free) = (guest.meminfo_kib("SwapTotal")?, guest.meminfo_kib("SwapFree")?);
    if free * 100 > total * 7 {
        writers.push(writer(free - total * 6 / 100, "3")?);
    }
    let free = guest.meminfo_kib("SwapFree")?;
    ensure!(free * 100 <= total * 12, "only {} of {total} KiB of swap are in use", total - free);
    Ok(writers)
}

/// Lets them rewrite most of what they hold, three times over; every page must be right.
fn rewrite_and_check(mut writers: Vec<Load>) -> Result<()> {
    writers.iter_mut().try_for_each(Load::go)?;
    let outcomes: Vec<_> = writers.into_iter().map(Load::finish).collect();
    outcomes.into_iter().try_for_each(|outcome| outcome.map(drop))
}
