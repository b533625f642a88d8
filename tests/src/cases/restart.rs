//! The guest resets in the middle of its puts under `tmem run --restart`: nothing of the earlier life is left.

use super::exactness::host_counter;
use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec, Vm};
use anyhow::{Result, bail, ensure};
use serde_json::Value;

pub(super) const CASE: Case = Case {
    name: "restart",
    shows: "reset mid-put under --restart: old pools gone, memory back",
    runs: Runs::ON_6_1.and_debug(),
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    let spec = Spec { memory_mib: 128, flags: vec!["--restart".to_owned()], ..Spec::default() };
    let mut vm = host.start(&spec)?;
    let empty = first_life(&mut vm)?;
    vm.expect("booted")?;
    let report = vm.show()?;
    let (pages, resident) = held(&report)?;
    ensure!(pages == 0 && resident <= empty, "{pages} pages, {resident} bytes ({empty} at first) after the reset");
    vm.say("second")?;
    vm.expect("swapped")?;
    vm.go()?;
    vm.finish()
}

/// Lets the guest's first life fill the store and go on putting; returns the resident bytes of the empty store.
pub(super) fn first_life(vm: &mut Vm) -> Result<u64> {
    vm.expect("booted")?;
    let empty = held(&vm.show()?)?.1;
    vm.say("first")?;
    vm.expect("swapping")?;
    let (pages, resident) = held(&vm.show()?)?;
    ensure!(pages > 1_000 && resident > empty, "only {pages} pages are stored: the case shows nothing");
    vm.go()?;
    Ok(empty)
}

/// Persistent pages and resident bytes of the store.
pub(super) fn held(report: &protocol::VmReport) -> Result<(u64, u64)> {
    Ok((host_counter(report, "store", "persistent_pages")?, host_counter(report, "store", "resident_bytes")?))
}

fn guest(guest: &mut Guest) -> Result<()> {
    let life = guest.sync("booted", &Value::Null)?;
    guest.load_driver(&[])?;
    if life != "first" {
        return swap_once(guest);
    }
    swap_without_end(guest)?;
    guest.command("reboot", &["-f"])?;
    bail!("the reboot came back")
}

/// Starts a load that swaps until the kernel ends, and returns in the middle of it.
pub(super) fn swap_without_end(guest: &mut Guest) -> Result<()> {
    guest.swap_on("/dev/tmem0")?;
    let size = guest.percent_of_memory(140)?;
    let mut load = guest.start_load(&["--size", &size, "--passes", "1000", "--hold", "line"])?;
    load.wait_until_holding()?;
    guest.sync("swapping", &Value::Null)?;
    load.go()
}

/// Swaps once, and tells the host before the pages are freed.
pub(super) fn swap_once(guest: &mut Guest) -> Result<()> {
    let swap = guest.swap_on("/dev/tmem0")?;
    guest.load(&["--size", &guest.percent_of_memory(120)?, "--passes", "0"])?;
    guest.sync("swapped", &Value::Null)?;
    swap.off()
}
