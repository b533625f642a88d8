//! The control commands act on a VM that swaps: freeze and thaw, limits, the power button.

use super::exactness::{both_sides_agree, host_counter};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;

pub(super) const CASE: Case = Case {
    name: "control",
    shows: "list, show, freeze, thaw, set, flush and stop on a VM that swaps",
    runs: Runs::OF_THE_HOST,
    host,
    guest,
};

/// `struct input_event` of a 64-bit kernel: time, type, code, value.
const INPUT_EVENT_BYTES: usize = 24;
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

fn host(host: &mut Host) -> Result<()> {
    let disk = host.disk("backing", 512 << 20)?;
    let mut vm = host.start(&Spec { memory_mib: 128, ..Spec::default() }.disk(disk))?;
    vm.expect("ready")?;
    let list = String::from_utf8(host.tmem(&["list"])?.stdout)?;
    ensure!(list.contains(vm.name()), "tmem list does not know the VM: {list}");

    vm.tmem("freeze", &[])?;
    vm.go()?;
    let frozen: Counters = serde_json::from_value(vm.expect("frozen")?)?;
    let report = vm.show()?;
    both_sides_agree(&frozen, &report)?;
    ensure!(report.tmem.context("no tmem")?.frozen, "tmem show does not say that the VM is frozen");
    ensure!(frozen.driver("puts_rejected_frozen")? > 100, "no put was rejected as frozen");
    ensure!(host_counter(&report, "store", "puts_rejected_frozen")? == frozen.driver("puts_rejected_frozen")?);

    vm.tmem("thaw", &[])?;
    vm.go()?;
    let thawed: Counters = serde_json::from_value(vm.expect("thawed")?)?;
    ensure!(
        thawed.driver("puts_accepted")? > frozen.driver("puts_accepted")? + 100,
        "no put was accepted after the thaw"
    );

    vm.tmem("set", &["--limit", "4MiB"])?;
    let limited = vm.show()?.tmem.context("no tmem")?;
    ensure!(limited.limit_bytes == 4 << 20, "the limit is {}", limited.limit_bytes);
    vm.tmem("flush", &[])?;
    vm.go()?;
    let limited: Counters = serde_json::from_value(vm.expect("limited")?)?;
    both_sides_agree(&limited, &vm.show()?)?;
    ensure!(limited.driver("puts_rejected_over_limit")? > 100, "no put was rejected over the limit");

    vm.tmem("stop", &[])?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&["backing=/dev/vda"])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let size = guest.percent_of_memory(130)?;
    guest.sync("ready", &Value::Null)?;
    for step in ["frozen", "thawed", "limited"] {
        guest.load(&["--size", &size, "--passes", "0"])?;
        if step == "limited" {
            guest.tell(step, &json!(Counters::settled()?));
        } else {
            guest.sync(step, &json!(Counters::settled()?))?;
        }
    }
    wait_for_power_button()?;
    swap.off()
}

/// Reads the button's events until it is pressed.
fn wait_for_power_button() -> Result<()> {
    let mut events = File::open("/dev/input/event0").context("no power button")?;
    let mut event = [0; INPUT_EVENT_BYTES];
    loop {
        events.read_exact(&mut event)?;
        let field = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
        if (field(16), field(18)) == (EV_KEY, KEY_POWER) {
            return Ok(());
        }
    }
}
