//! A process of 1.6 times the guest's memory, every page checked, swapped into the store.

use super::exactness::{Headers, both_sides_agree, host_counter, swap_device_is_exact};
use super::figures::ratio;
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

pub(super) const CASE: Case = Case {
    name: "hog",
    shows: "1.6 x RAM in the store, verified; counters exact; swapoff leaves the header alone",
    runs: Runs::ON_ALL.and_debug(),
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    let mut vm = host.start(&Spec { memory_mib: 128, ..Spec::default() })?;
    let counters: Counters = serde_json::from_value(vm.expect("ran")?)?;
    let report = vm.show()?;
    both_sides_agree(&counters, &report)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    // The hog has exited: its slots came back in long batches.
    let flushes = (counters.driver("flush_batch_entries")?, counters.driver("flush_batches")?);
    ensure!(flushes.0 >= 16 * flushes.1.max(1), "{} frees in {} batches", flushes.0, flushes.1);
    let recompressed = host_counter(&report, "store", "pages_recompressed")?;
    host.note(format!(
        "{} pages out, {} in, {:.0} frees a call, {recompressed} recompressed",
        counters.pswpout,
        counters.pswpin,
        ratio(flushes)
    ));
    ensure!(counters.pswpout > 10_000, "only {} pages were swapped out", counters.pswpout);
    ensure!(host_counter(&report, "store", "puts_accepted")? > 10_000, "the store took next to nothing");
    vm.go()?;

    // After swapoff the store holds the swap header and nothing else.
    vm.expect("off")?;
    let report = vm.show()?;
    let pages = host_counter(&report, "store", "persistent_pages")?;
    ensure!(pages == 1, "{pages} pages are left after swapoff");
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let size = guest.percent_of_memory(160)?;
    guest.load(&["--size", &size, "--passes", "1"])?;
    guest.sync("ran", &json!(Counters::settled()?))?;
    swap.off()?;
    // The last frees are sent a moment later.
    Counters::settled()?;
    guest.sync("off", &Value::Null)?;
    let again = guest.swap_on_again("/dev/tmem0")?;
    guest.load(&["--size", &size, "--passes", "0"])?;
    again.off()
}
