//! A table of values larger than the guest's memory, filled and read over the network while it swaps to the store.

use super::exactness::{Headers, both_sides_agree, host_counter, swap_device_is_exact};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec, Values};
use anyhow::{Context, Result, ensure};
use serde_json::json;

pub(super) const CASE: Case = Case {
    name: "network-values",
    shows: "values of 1.5 x RAM put and read back over the network, each checked, swapped to the store",
    runs: Runs::OF_THE_HOST,
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    host.own_network()?;
    let tap = host.tap(0)?;
    let mut vm = host.start(&Spec { memory_mib: 96, ..Spec::default() }.net(&tap))?;
    let memory_kib = vm.expect("serves")?.as_u64().context("no memory")?;
    let mut values = Values::connect(&tap.guest)?;
    let keys = values.fill(memory_kib * 1024 * 3 / 2)?;
    values.check(keys)?;
    drop(values);

    let counters: Counters = serde_json::from_value(vm.expect("served")?)?;
    let report = vm.show()?;
    both_sides_agree(&counters, &report)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    let (out, back) = (counters.pswpout, counters.pswpin);
    ensure!(out > 5_000 && back > 5_000, "{out} pages out, {back} in: the case shows nothing");
    let waits = host_counter(&report, "net0", "rx_waits")?;
    host.note(format!("{keys} values, {out} pages out, {back} in, frames waited {waits} times for buffers"));
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    guest.network_up(guest.argument(0)?)?;
    let server = guest.start_value_server()?;
    guest.tell("serves", &json!(guest.meminfo_kib("MemTotal")?));
    server.finish()?;
    guest.sync("served", &json!(Counters::settled()?))?;
    swap.off()
}
