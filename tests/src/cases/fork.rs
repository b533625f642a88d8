//! A process forks and rewrites its pages while its child checks the copy: shared swap slots, copy-on-write faults.

use super::exactness::{Headers, both_sides_agree, swap_device_is_exact};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::Result;
use serde_json::json;

pub(super) const CASE: Case =
    Case { name: "fork", shows: "fork and copy-on-write over swapped pages", runs: Runs::ON_6_1, host, guest };

fn host(host: &mut Host) -> Result<()> {
    let mut vm = host.start(&Spec { memory_mib: 128, ..Spec::default() })?;
    let counters: Counters = serde_json::from_value(vm.expect("ran")?)?;
    both_sides_agree(&counters, &vm.show()?)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    // Parent and child hold up to twice this.
    guest.load(&["--size", &guest.percent_of_memory(80)?, "--passes", "2", "--rewrite", "60", "--fork"])?;
    guest.sync("ran", &json!(Counters::settled()?))?;
    swap.off()
}
