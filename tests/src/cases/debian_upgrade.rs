//! The driver's package upgraded under swap that is in use.

use super::debian::{COMPILE_PATIENCE, MEMORY_MIB, agreed, count};
use super::debian_endings::{fill, store_is_in_use};
use super::exactness::host_counter;
use crate::case::{Case, Runs, System};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;

pub(super) const CASE: Case = Case {
    name: "debian-upgrade",
    shows: "the package upgraded while its swap is in use; the new module loaded without a reboot",
    runs: Runs::on_debian(System::SMALL),
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    let spec = Spec { memory_mib: MEMORY_MIB, patience: COMPILE_PATIENCE, ..Spec::default() };
    let mut vm = host.start(&spec.debian(host))?;
    store_is_in_use(&mut vm)?;
    let status = vm.expect("upgraded")?;
    host.note(status.as_str().unwrap_or_default().to_owned());
    agreed(&mut vm, "checked")?;
    let counters: Counters = serde_json::from_value(vm.expect("reloaded")?)?;
    ensure!(counters.driver("puts_accepted")? > 5_000, "next to nothing was swapped by the new module");
    let lost = host_counter(&vm.show()?, "store", "gets_miss")?;
    ensure!(lost == 0, "{lost} pages were lost");
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.wait_for_swap("/dev/tmem0")?;
    let mut load = fill(guest)?;
    let next = fs::read_dir("/mnt")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|kind| kind == "deb"))
        .context("no package to upgrade to")?;
    guest.command("dpkg", &["--install", &next.to_string_lossy()])?;
    let status = guest.command("dkms", &["status", "-m", "tmem"])?;
    ensure!(status.contains("+next") && status.contains("installed"), "dkms says {status}");
    ensure!(status.lines().count() == 1, "the old version is left: {status}");
    ensure!(guest.swap_areas()?.iter().any(|area| area.device == "/dev/tmem0"), "the upgrade turned swap off");
    guest.tell("upgraded", &json!(status.trim()));
    // The driver that was loaded has kept its pages.
    load.go()?;
    load.finish()?;
    count(guest, "checked")?;

    guest.command("systemctl", &["stop", "dev-tmem0.swap"])?;
    guest.command("modprobe", &["--remove", "dm-tmem", "tmem"])?;
    guest.command("modprobe", &["tmem"])?;
    guest.wait_for_swap("/dev/tmem0")?;
    guest.load(&["--size", &guest.percent_of_memory(120)?, "--passes", "0"])?;
    guest.sync("reloaded", &json!(Counters::settled()?)).map(drop)
}
