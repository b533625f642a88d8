//! A server of a data set for which the guest has too little memory, filled and read back over the network.

use super::debian::{MEMORY_MIB, count, swapped_since};
use crate::case::{Case, Runs, System};
use crate::guest::Guest;
use crate::host::{Host, Redis, Spec, Vm};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;

pub(super) const CASE: Case = Case {
    name: "debian-redis",
    shows: "redis of 1.5 x RAM filled and read back over the network, every value checked",
    runs: Runs::on_debian(System::WITH_PROGRAMS),
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    host.own_network()?;
    let tap = host.tap(0)?;
    let spec = Spec { memory_mib: MEMORY_MIB, cmdline: tap.kernel_option(), ..Spec::default() };
    let mut vm = host.start(&spec.debian(host).net(&tap))?;
    let memory_kib = vm.expect("serves")?.as_u64().context("no memory")?;
    let mut redis = Redis::connect(&tap.guest)?;
    let values = redis.fill(memory_kib * 1024 * 3 / 2).with_context(|| on_the_way(&vm))?;
    host.note(format!("{values} values of 1.5 x RAM"));
    vm.go()?;
    let filled = swapped_since(None, &mut vm, host, "filled")?;
    vm.expect("still-serves")?;
    redis.check(values).with_context(|| on_the_way(&vm))?;
    vm.go()?;
    swapped_since(Some(&filled), &mut vm, host, "read")?;
    vm.finish()
}

/// What a connection that has stalled is judged by: the card's counters, and what this side still has to send.
fn on_the_way(vm: &Vm) -> String {
    let card = vm.show().map(|report| report.counters.get("net0").cloned());
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    format!("the card: {card:?}\n{sockets}")
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.wait_for_swap("/dev/tmem0")?;
    serve_redis(guest)?;
    guest.sync("serves", &json!(guest.meminfo_kib("MemTotal")?))?;
    count(guest, "filled")?;
    guest.sync("still-serves", &Value::Null)?;
    count(guest, "read")
}

/// Has Debian's redis answer the network, and keep nothing on the disk.
fn serve_redis(guest: &Guest) -> Result<()> {
    let mut settings = File::options().append(true).open("/etc/redis/redis.conf")?;
    settings.write_all(b"\nbind 0.0.0.0\nprotected-mode no\nsave \"\"\n")?;
    guest.command("systemctl", &["restart", "redis-server"]).map(drop)
}
