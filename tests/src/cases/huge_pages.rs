//! Transparent huge pages, forced on: whole huge pages reach the swap path of a device that is not rotational.

use super::exactness::{Headers, both_sides_agree, swap_device_is_exact};
use super::figures::ratio;
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest, vmstat};
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};
use serde_json::json;
use std::path::Path;

pub(super) const CASE: Case = Case {
    name: "huge-pages",
    shows: "THP (and 64 KiB mTHP where the kernel has it) swapped whole; a folio is one batch",
    runs: Runs::ON_6_1.and_debug(),
    host,
    guest,
};

const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const MTHP_64: &str = "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled";
/// Pages of a 64 KiB folio.
const FOLIO_PAGES: u64 = 16;

fn host(host: &mut Host) -> Result<()> {
    let mut vm = host.start(&Spec { memory_mib: 160, ..Spec::default() })?;
    let thp: Counters = serde_json::from_value(vm.expect("thp")?)?;
    both_sides_agree(&thp, &vm.show()?)?;
    swap_device_is_exact(&thp, Headers { writes: 1, reads: 1 })?;
    vm.go()?;

    if ["6.12", "sid"].contains(&host.kernel()) {
        let mthp: Counters = serde_json::from_value(vm.expect("mthp")?)?;
        both_sides_agree(&mthp, &vm.show()?)?;
        swap_device_is_exact(&mthp, Headers { writes: 1, reads: 1 })?;
        let since = |name: &str| -> Result<u64> { Ok(mthp.driver(name)? - thp.driver(name)?) };
        let (entries, batches) = (since("put_batch_entries")?, since("put_batches")?);
        host.note(format!("{batches} folios in batches of {:.1}", ratio((entries, batches))));
        ensure!(batches > 100, "only {batches} batches for 64 KiB folios");
        ensure!(entries == batches * FOLIO_PAGES, "{entries} pages in {batches} batches: a folio is one batch");
        vm.go()?;
    }
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    guest.set("/sys/block/tmem0/queue/rotational", "0")?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let size = guest.percent_of_memory(150)?;
    guest.set(THP, "always")?;
    let before = vmstat("thp_fault_alloc")?;
    guest.load(&["--size", &size, "--thp", "always", "--order", "sequential"])?;
    ensure!(vmstat("thp_fault_alloc")? > before, "no huge page was made: the case shows nothing");
    guest.sync("thp", &json!(Counters::settled()?))?;

    if Path::new(MTHP_64).exists() {
        guest.set(THP, "never")?;
        guest.set(MTHP_64, "always")?;
        guest.load(&["--size", &size, "--order", "sequential"])?;
        guest.sync("mthp", &json!(Counters::settled()?))?;
    }
    swap.off()
}
