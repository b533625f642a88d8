//! The ways by which a Debian guest's driver ends and begins again: reboot, kexec, unloading, removal of its package.

use super::debian::MEMORY_MIB;
use super::exactness::host_counter;
use super::kexec::load_kernel;
use super::restart::held;
use crate::case::{Case, Runs, System};
use crate::guest::{Guest, Load};
use crate::host::{Host, Spec, Vm};
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Duration;

pub(super) const CASE: Case = Case {
    name: "debian-endings",
    shows: "reboot, kexec, swapoff and rmmod, removal of the package: old pools gone, swap on again until then",
    runs: Runs::on_debian(System::SMALL),
    host,
    guest,
};

/// An end in which the guest does not return from asking for it.
const END_PATIENCE: Duration = Duration::from_secs(300);
const PACKAGE: &str = "tmem-guest-dkms";

fn host(host: &mut Host) -> Result<()> {
    let spec = Spec { memory_mib: MEMORY_MIB, flags: vec!["--restart".to_owned()], ..Spec::default() };
    let mut vm = host.start(&spec.debian(host))?;
    for (life, way) in (1..).zip(["reboot", "kexec", "removal"]) {
        let priority = vm.expect("booted")?;
        ensure!(priority == 1000, "the priority is {priority}");
        let report = vm.show()?;
        // The header that this life wrote, and what little it may have swapped since.
        let (pages, _) = held(&report)?;
        ensure!(pages < 1_000, "{pages} pages of an earlier life are left");
        let hellos = host_counter(&report, "store", "hellos")?;
        ensure!(hellos >= life, "{hellos} lives of the driver, {life} of the guest");
        vm.say(way)?;
        store_is_in_use(&mut vm)?;
    }
    for (name, why) in [("unloaded", "without a driver"), ("removed", "after the removal")] {
        vm.expect(name)?;
        let (pages, _) = held(&vm.show()?)?;
        ensure!(pages == 0, "{pages} pages are left {why}");
        vm.go()?;
    }
    vm.finish()
}

/// Waits until the guest half has filled its memory, and looks at the store before it goes on.
pub(super) fn store_is_in_use(vm: &mut Vm) -> Result<()> {
    vm.expect("swapping")?;
    let (pages, _) = held(&vm.show()?)?;
    ensure!(pages > 5_000, "only {pages} pages are stored: the case shows nothing");
    vm.go()
}

fn guest(guest: &mut Guest) -> Result<()> {
    let swap = guest.wait_for_swap("/dev/tmem0")?;
    let way = guest.sync("booted", &json!(swap.priority))?;
    let load = fill(guest)?;
    match way.as_str() {
        "reboot" => end_by(guest, "reboot"),
        "kexec" => {
            load_kernel(&File::open("/vmlinuz")?, &File::open("/initrd.img")?)?;
            end_by(guest, "kexec")
        }
        "removal" => remove(guest, load),
        _ => bail!("unknown way to end: {way}"),
    }
}

/// Starts a load that holds more than the memory, and tells the host when it does.
pub(super) fn fill(guest: &Guest) -> Result<Load> {
    let size = guest.percent_of_memory(120)?;
    let mut load = guest.start_load(&["--size", &size, "--passes", "0", "--hold", "line"])?;
    load.wait_until_holding()?;
    guest.sync("swapping", &Value::Null)?;
    Ok(load)
}

/// Asks systemd for an end while the load holds its pages.
fn end_by(guest: &Guest, way: &str) -> Result<()> {
    guest.command("systemctl", &["--no-block", way])?;
    thread::sleep(END_PATIENCE);
    bail!("no {way} within {END_PATIENCE:?}")
}

/// Unloads the driver once the load has checked its pages and ended, loads it again, and removes the package.
fn remove(guest: &Guest, mut load: Load) -> Result<()> {
    load.go()?;
    load.finish()?;
    guest.command("systemctl", &["stop", "dev-tmem0.swap"])?;
    guest.command("modprobe", &["--remove", "tmem"])?;
    guest.sync("unloaded", &Value::Null)?;
    guest.command("modprobe", &["tmem"])?;
    guest.wait_for_swap("/dev/tmem0")?;

    guest.command("dpkg", &["--remove", PACKAGE])?;
    for left in ["/sys/module/tmem", "/dev/tmem0", "/usr/lib/systemd/system/dev-tmem0.swap"] {
        ensure!(!Path::new(left).exists(), "{left} is left after the removal");
    }
    let status = guest.command("dkms", &["status"])?;
    ensure!(status.trim().is_empty(), "dkms still has {status}");
    guest.sync("removed", &Value::Null).map(drop)
}
