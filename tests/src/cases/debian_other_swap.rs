//! Swap of other kinds in the same guest: zswap in front of the store, and a swap disk behind it.

use super::exactness::host_counter;
use crate::case::{Case, Runs, System};
use crate::guest::Guest;
use crate::host::{Host, Spec, Vm};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

pub(super) const CASE: Case = Case {
    name: "debian-other-swap",
    shows: "the same load alone, behind zswap, and before a swap disk that takes what does not fit: all verified",
    // The kernel for virtual machines has no zswap.
    runs: Runs::on_debian(System { flavour: "amd64", ..System::SMALL }),
    host,
    guest,
};

/// The initrd of a kernel for any machine is unpacked into it.
const MEMORY_MIB: u32 = 384;
/// What the boot, the load or its check may take where a second of the guest is many of the machine's.
const STEP_PATIENCE: Duration = Duration::from_secs(900);
const DISK: &str = "/dev/vdc";
const DISK_BYTES: u64 = 512 << 20;
const ZSWAP: &str = "/sys/module/zswap/parameters/enabled";

fn host(host: &mut Host) -> Result<()> {
    let disk = host.real_disk("swap", DISK_BYTES)?;
    let spec = Spec { memory_mib: MEMORY_MIB, patience: STEP_PATIENCE, ..Spec::default() };
    let mut vm = host.start(&spec.debian(host).disk(disk))?;
    let alone = step(&mut vm, host, "alone")?;
    ensure!(alone.stored > 10_000, "only {} pages reached the store: the case shows nothing", alone.stored);

    let zswap = step(&mut vm, host, "zswap")?;
    ensure!(zswap.compressed_here > 1_000, "zswap took {} pages", zswap.compressed_here);

    let disk = step(&mut vm, host, "disk")?;
    ensure!(disk.on_disk > 1_000, "{} pages are on the disk", disk.on_disk);
    ensure!(disk.stored > 1_000, "{} pages reached the store", disk.stored);
    vm.finish()
}

/// What a load did.
struct Did {
    /// Pages that the store accepted.
    stored: u64,
    /// Pages in zswap at the load's end.
    compressed_here: u64,
    /// Guest memory that they take.
    taken_here: u64,
    /// Pages on the swap disk then.
    on_disk: u64,
}

/// Lets the guest run the load once more and notes what came of it.
fn step(vm: &mut Vm, host: &mut Host, name: &str) -> Result<Did> {
    vm.expect("ready")?;
    let before = host_counter(&vm.show()?, "store", "puts_accepted")?;
    vm.go()?;
    let said = vm.expect("holds")?;
    let report = vm.show()?;
    vm.go()?;
    let seconds = vm.expect("verified")?;
    let did = Did {
        stored: host_counter(&report, "store", "puts_accepted")? - before,
        compressed_here: said["zswap"].as_u64().unwrap_or_default(),
        taken_here: said["zswap_bytes"].as_u64().unwrap_or_default(),
        on_disk: said["disk"].as_u64().unwrap_or_default(),
    };
    let held = host_counter(&report, "store", "persistent_pages")?;
    let resident = host_counter(&report, "store", "resident_bytes")? >> 20;
    host.note(format!(
        "{name}: {} pages put, {held} held in {resident} MiB, {} in zswap in {} MiB, {} on the disk, {:.0} s",
        did.stored,
        did.compressed_here,
        did.taken_here >> 20,
        did.on_disk,
        seconds.as_f64().unwrap_or_default()
    ));
    let lost = host_counter(&vm.show()?, "store", "gets_miss")?;
    ensure!(lost == 0, "{lost} pages were lost");
    Ok(did)
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.wait_for_swap("/dev/tmem0")?;
    guest.set(ZSWAP, "N")?;
    run(guest)?;

    guest.set(ZSWAP, "Y")?;
    run(guest)?;
    guest.set(ZSWAP, "N")?;

    // A device that is soon full.
    guest.command("systemctl", &["stop", "dev-tmem0.swap"])?;
    guest.command("modprobe", &["--remove", "tmem"])?;
    guest.command("modprobe", &["tmem", "size=64M"])?;
    guest.wait_for_swap("/dev/tmem0")?;
    guest.command("mkswap", &[DISK])?;
    guest.command("swapon", &["--priority", "10", DISK])?;
    run(guest)
}

/// A load that holds 1.3 times the memory, looked at while it holds it, verified after that. In order: a pass out of order of
/// what does not fit takes minutes on an emulated host.
fn run(guest: &Guest) -> Result<()> {
    guest.sync("ready", &Value::Null)?;
    let size = guest.percent_of_memory(130)?;
    let arguments = ["--size", size.as_str(), "--order", "sequential", "--passes", "0", "--hold", "line"];
    let mut load = guest.start_load(&arguments)?;
    load.wait_until_holding()?;
    let (zswap, zswap_bytes) = (of_zswap("stored_pages")?, of_zswap("pool_total_size")?);
    let disk = guest.swap_areas()?.into_iter().find(|area| area.device == DISK).map_or(0, |area| area.used_kib / 4);
    guest.sync("holds", &json!({ "zswap": zswap, "zswap_bytes": zswap_bytes, "disk": disk }))?;
    load.go()?;
    guest.tell("verified", &json!(load.finish()?.seconds()));
    Ok(())
}

/// One of zswap's counters, which are there once it was switched on.
fn of_zswap(name: &str) -> Result<u64> {
    let path = format!("/sys/kernel/debug/zswap/{name}");
    Ok(if fs::exists(&path)? { fs::read_to_string(&path)?.trim().parse()? } else { 0 })
}
