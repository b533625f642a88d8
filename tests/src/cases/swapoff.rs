//! `swapoff` while a process uses pages that are in the store: every page comes back, the header stays.

use super::exactness::{Headers, both_sides_agree, host_counter, swap_device_is_exact};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

pub(super) const CASE: Case = Case {
    name: "swapoff",
    shows: "swapoff under use leaves exactly the swap header; swapon works again",
    runs: Runs::ON_ALL.and_debug(),
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    let mut vm = host.start(&Spec { memory_mib: 144, ..Spec::default() })?;
    vm.expect("pushed-out")?;
    let held = host_counter(&vm.show()?, "store", "persistent_pages")?;
    ensure!(held > 1_000, "only {held} pages are in the store: the case shows nothing");
    vm.go()?;
    let counters: Counters = serde_json::from_value(vm.expect("off")?)?;
    let report = vm.show()?;
    both_sides_agree(&counters, &report)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    let left = host_counter(&report, "store", "persistent_pages")?;
    ensure!(left == 1, "{left} pages are left after swapoff, the header is one");
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let half = guest.percent_of_memory(45)?;
    let mut user = guest.start_load(&["--size", &half, "--hold", "line", "--passes", "3", "--seed", "7"])?;
    user.wait_until_holding()?;
    guest.load(&["--size", &guest.percent_of_memory(110)?, "--passes", "0"])?;
    guest.sync("pushed-out", &Value::Null)?;
    user.go()?;
    swap.off()?;
    // The last frees are sent a moment later.
    guest.sync("off", &json!(Counters::settled()?))?;
    user.finish()?;
    let again = guest.swap_on_again("/dev/tmem0")?;
    guest.load(&["--size", &guest.percent_of_memory(130)?, "--passes", "0"])?;
    again.off()
}
