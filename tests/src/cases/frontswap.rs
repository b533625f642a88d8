//! The frontswap front end: the store shadows an ordinary swap disk.

use super::exactness::{both_sides_agree, host_counter};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest, vmstat};
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;

pub(super) const CASE: Case = Case {
    name: "frontswap",
    shows: "1.6 x RAM through frontswap, verified; counters exact; swapoff leaves nothing; no unload",
    runs: Runs { soak: &["5.10", "5.10-debug"], ..Runs::ON_5_10 },
    host: |host| run(host, "200%"),
    guest: |guest| {
        guest.load_driver(&["frontswap=1", "size=512M"])?;
        shadow(guest, &[])
    },
};

/// With a store that rejects most: those pages are on the swap disk.
pub(super) const OVER_LIMIT_CASE: Case = Case {
    name: "frontswap-over-limit",
    shows: "frontswap with a store far too small: the rest is on the swap disk",
    runs: Runs::ON_5_10.in_soak(),
    host: |host| run(host, "10%"),
    guest: |guest| {
        guest.load_driver(&["frontswap=1", "size=512M"])?;
        // In another order the disk would be asked for each page alone.
        shadow(guest, &["--order", "sequential"])
    },
};

/// With huge pages: frontswap hands over whole ones, which the driver declines.
pub(super) const HUGE_PAGES_CASE: Case = Case {
    name: "frontswap-huge-pages",
    shows: "frontswap with THP forced on and a swap disk that is not rotational",
    runs: Runs::ON_5_10.in_soak(),
    host: |host| run(host, "200%"),
    guest: |guest| {
        guest.load_driver(&["frontswap=1", "size=512M"])?;
        guest.set("/sys/kernel/mm/transparent_hugepage/enabled", "always")?;
        guest.set("/sys/block/vda/queue/rotational", "0")?;
        let before = vmstat("thp_fault_alloc")?;
        shadow(guest, &["--thp", "always", "--order", "sequential"])?;
        ensure!(vmstat("thp_fault_alloc")? > before, "no huge page was made: the case shows nothing");
        Ok(())
    },
};

fn run(host: &mut Host, limit: &str) -> Result<()> {
    let disk = host.disk("swap", 512 << 20)?;
    let spec = Spec { memory_mib: 144, limit: Some(limit.to_owned()), ..Spec::default() };
    let mut vm = host.start(&spec.disk(disk))?;
    let said = vm.expect("ran")?;
    let counters: Counters = serde_json::from_value(said["counters"].clone())?;
    let frontswap_loads = said["frontswap_loads"].as_u64().context("no count of loads")?;
    both_sides_agree(&counters, &vm.show()?)?;
    // What was not taken, rejected by the host or declined by the driver, is what the kernel wrote to the disk.
    let not_taken = counters.sum("puts_rejected_") + counters.driver("frontswap_declined")?;
    ensure!(not_taken == counters.pswpout, "{not_taken} pages not taken, pswpout {}", counters.pswpout);
    let hits = counters.driver("gets_hit")?;
    ensure!(hits == frontswap_loads, "{hits} gets hit, frontswap counted {frontswap_loads} loads");
    ensure!(counters.driver("puts_accepted")? > 1_000, "the store took next to nothing");
    host.note(format!("{} pages stored, {not_taken} on the disk", counters.driver("puts_accepted")?));
    vm.go()?;
    vm.expect("off")?;
    let left = host_counter(&vm.show()?, "store", "persistent_pages")?;
    ensure!(left == 0, "{left} pages are left after swapoff");
    vm.go()?;
    vm.finish()
}

fn shadow(guest: &mut Guest, load: &[&str]) -> Result<()> {
    guest.command("mount", &["-t", "debugfs", "debugfs", "/sys/kernel/debug"])?;
    let swap = guest.swap_on("/dev/vda")?;
    guest.load(&[&["--size", &guest.percent_of_memory(160)?], load].concat())?;
    let loads: u64 = fs::read_to_string("/sys/kernel/debug/frontswap/loads")?.trim().parse()?;
    guest.sync("ran", &json!({ "counters": Counters::settled()?, "frontswap_loads": loads }))?;
    swap.off()?;
    // The last frees are sent a moment later.
    Counters::settled()?;
    guest.sync("off", &Value::Null)?;
    ensure!(guest.unload_driver().is_err(), "the kernel cannot unregister a frontswap module, yet it went");
    let again = guest.swap_on_again("/dev/vda")?;
    guest.load(&["--size", &guest.percent_of_memory(120)?, "--passes", "0"])?;
    again.off()
}
