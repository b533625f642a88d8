//! A swap area that is nearly full, with two writers and free batches of 512: a slot is written again before the host
//! was told that it was freed. A free queue that does not look at later puts fails this with thousands of bad pages.

use crate::case::{Case, Runs, Under};
use crate::guest::{Guest, whole_pages};
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};

/// With the store of the host.
pub(super) const CASE: Case = Case {
    name: "nearly-full",
    shows: "95 % of swap in use, two writers, free batches of 512",
    runs: Runs::ON_6_1,
    host: |host| host.run_guest(&Spec { memory_mib: 160, vcpus: 2, ..Spec::default() }),
    guest: |guest| {
        guest.load_driver(&["size=96M", "free_batch=512"])?;
        let bad = write_until_nearly_full(guest, 96 << 10)?;
        ensure!(bad == 0, "{bad} bad pages");
        Ok(())
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
        let bad = write_until_nearly_full(guest, 64 << 10)?;
        ensure!(bad == 0, "{bad} bad pages");
        Ok(())
    },
};

/// The same with a free queue that loses data: the case above can fail.
pub(super) const NAIVE_CASE: Case = Case {
    name: "nearly-full-naive",
    shows: "a naive free queue fails the same with thousands of bad pages",
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
        let bad = write_until_nearly_full(guest, 64 << 10)?;
        ensure!(bad > 1000, "only {bad} bad pages: the case would not notice a lost page");
        Ok(())
    },
};

fn no_host_half(_: &mut Host) -> Result<()> {
    anyhow::bail!("this case runs in plain emulation, without a host half")
}

/// Two writers whose working sets fill memory and 95 % of the swap area; returns the bad pages they found.
fn write_until_nearly_full(guest: &mut Guest, swap_kib: u64) -> Result<u64> {
    let swap = guest.swap_on("/dev/tmem0")?;
    // What the kernel keeps for itself under pressure is not the writers'.
    let memory = guest.meminfo_kib("MemAvailable")? * 88 / 100;
    let each = whole_pages((memory + swap_kib * 95 / 100) / 2);
    let writer = |seed| guest.start_load(&["--size", &each, "--passes", "3", "--rewrite", "70", "--seed", seed]);
    let (first, second) = (writer("1")?, writer("2")?);
    let mut bad = 0;
    for writer in [first, second] {
        bad += writer.report()?.map_or(0, |report| report.bad_pages);
    }
    swap.off()?;
    Ok(bad)
}
