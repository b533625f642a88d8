//! Two processes on two vCPUs swap at once.

use super::exactness::{Headers, both_sides_agree, swap_device_is_exact};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::Result;
use serde_json::json;

pub(super) const CASE: Case =
    Case { name: "two-hogs", shows: "two vCPUs with a hog each", runs: Runs::ON_6_1, host, guest };

fn host(host: &mut Host) -> Result<()> {
    let mut vm = host.start(&Spec { memory_mib: 144, vcpus: 2, ..Spec::default() })?;
    let counters: Counters = serde_json::from_value(vm.expect("ran")?)?;
    both_sides_agree(&counters, &vm.show()?)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let size = guest.percent_of_memory(80)?;
    let first = guest.start_load(&["--size", &size, "--seed", "1", "--order", "random"])?;
    let second = guest.start_load(&["--size", &size, "--seed", "2", "--order", "sequential"])?;
    first.finish()?;
    second.finish()?;
    guest.sync("ran", &json!(Counters::settled()?))?;
    swap.off()
}
