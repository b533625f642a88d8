//! Programs as users run them, in a guest too small for them: redis, a compile of a Debian package, stress-ng.

use super::debian::{COMPILE_PATIENCE, MEMORY_MIB, agreed, count};
use crate::case::{Case, Runs, System};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Redis, Spec, Vm};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;

pub(super) const CASE: Case = Case {
    name: "debian-programs",
    shows: "redis of 1.5 x RAM, every value checked; a package compiled beside it, bit by bit the same; stress-ng --verify",
    runs: Runs::on_debian(System { packages: &["redis-server", "stress-ng", "dm-writeboost-dkms"], ..System::SMALL }),
    host,
    guest,
};

/// What DKMS built when the disk was made, on a machine with memory enough.
const MODULE: &str = "dm-writeboost";

fn host(host: &mut Host) -> Result<()> {
    host.own_network()?;
    let tap = host.tap(0)?;
    let spec =
        Spec { memory_mib: MEMORY_MIB, cmdline: tap.kernel_option(), patience: COMPILE_PATIENCE, ..Spec::default() };
    let mut vm = host.start(&spec.debian(host).net(&tap))?;
    let memory_kib = vm.expect("serves")?.as_u64().context("no memory")?;
    let mut redis = Redis::connect(&tap.guest)?;
    let values = redis.fill(memory_kib * 1024 * 3 / 2)?;
    host.note(format!("{values} values of 1.5 x RAM"));
    vm.go()?;
    let filled = swapped_since(None, &mut vm, host, "filled")?;
    let compiled = swapped_since(Some(&filled), &mut vm, host, "compiled")?;

    vm.expect("still-serves")?;
    redis.check(values)?;
    vm.go()?;
    let read = swapped_since(Some(&compiled), &mut vm, host, "read")?;
    swapped_since(Some(&read), &mut vm, host, "stressed")?;
    vm.finish()
}

/// What both sides have counted once a step is done, in which pages must have gone out and come back.
fn swapped_since(before: Option<&Counters>, vm: &mut Vm, host: &mut Host, step: &str) -> Result<Counters> {
    let counters = agreed(vm, step).with_context(|| step.to_owned())?;
    let (out, back) = before.map_or((0, 0), |before| (before.pswpout, before.pswpin));
    let (out, back) = (counters.pswpout - out, counters.pswpin - back);
    host.note(format!("{step}: {out} pages out, {back} in"));
    ensure!(out + back > 5_000, "{step}: {out} pages out, {back} in: it shows nothing");
    Ok(counters)
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.wait_for_swap("/dev/tmem0")?;
    serve_redis(guest)?;
    guest.sync("serves", &json!(guest.meminfo_kib("MemTotal")?))?;
    count(guest, "filled")?;

    compile_again(guest)?;
    count(guest, "compiled")?;

    guest.sync("still-serves", &Value::Null)?;
    count(guest, "read")?;
    guest.command("systemctl", &["stop", "redis-server"])?;

    // A worker that finds a wrong byte makes it fail.
    let bytes = format!("{}k", guest.meminfo_kib("MemTotal")? * 13 / 10);
    let vm = ["--vm", "1", "--vm-bytes", &bytes, "--vm-method", "rand-set", "--verify", "--timeout", "120"];
    guest.command("stress-ng", &vm)?;
    count(guest, "stressed")
}

/// Has Debian's redis answer the network, and keep nothing on the disk.
fn serve_redis(guest: &Guest) -> Result<()> {
    let mut settings = File::options().append(true).open("/etc/redis/redis.conf")?;
    settings.write_all(b"\nbind 0.0.0.0\nprotected-mode no\nsave \"\"\n")?;
    guest.command("systemctl", &["restart", "redis-server"]).map(drop)
}

/// Has DKMS build a module once more, now that memory is short: the compiler must write the same bytes.
fn compile_again(guest: &Guest) -> Result<()> {
    let file = guest.command("modinfo", &["--field", "filename", MODULE])?;
    let before = fs::read(file.trim())?;
    let status = guest.command("dkms", &["status", "-m", MODULE])?;
    let version = status.split(['/', ',']).nth(1).context("dkms knows no version of it")?.trim().to_owned();
    let of = format!("{MODULE}/{version}");
    guest.command("dkms", &["build", "--force", &of])?;
    guest.command("dkms", &["install", "--force", &of])?;
    ensure!(fs::read(file.trim())? == before, "the compiler wrote other bytes");
    Ok(())
}
