//! Guests that do what their host half types, one line after the other: for cases in which several of them take turns.

use crate::guest::{CachedDisk, Counters, Guest, Load};
use crate::host::{Disk, Host, Service, Spec, Vm};
use crate::traffic;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::path::PathBuf;

/// The marker of a guest that waits for a line; its value is what came of the one before.
const WAITS: &str = "waits";
/// What the disk of files has on it.
const SEED: u64 = 5;
/// What rejected pages of swap may take; the file is sparse.
const BACKING_BYTES: u64 = 256 << 20;
const MIB: usize = 1 << 20;

/// Makes a disk of so many MiB with what guests expect when they read it.
pub(super) fn files(path: PathBuf, mib: usize) -> Result<Disk> {
    traffic::send(File::create(&path)?, SEED, mib * MIB)?;
    Ok(Disk::writable(path))
}

/// Starts so many VMs of this service, each with a disk for rejected pages and one of so many MiB to read.
pub(super) fn start(host: &mut Host, service: &Service, count: usize, mib: usize) -> Result<Vec<Vm>> {
    let files = (0..count).map(|number| files(host.dir().join(format!("files{number}")), mib));
    let files = files.collect::<Result<Vec<Disk>>>()?;
    start_with(host, service, files)
}

/// Starts a VM of this service for each of these disks, and waits until the guests wait.
pub(super) fn start_with(host: &mut Host, service: &Service, files: Vec<Disk>) -> Result<Vec<Vm>> {
    let mut vms = Vec::new();
    for (number, files) in files.into_iter().enumerate() {
        let backing = host.disk(&format!("backing{number}"), BACKING_BYTES)?;
        let mut spec = Spec { memory_mib: 112, service: Some(service.socket()), ..Spec::default() }.disk(backing);
        spec.disks.push(files);
        vms.push(host.start(&spec)?);
    }
    vms.iter_mut().try_for_each(|vm| done(vm).map(drop))?;
    Ok(vms)
}

/// Waits until a guest waits for a line; returns what came of the one before.
pub(super) fn done(vm: &mut Vm) -> Result<Value> {
    vm.expect(WAITS)
}

/// Has a guest do something.
pub(super) fn does(vm: &mut Vm, what: &str) -> Result<Value> {
    vm.say(what)?;
    done(vm)
}

/// Has guests do the same at the same time.
pub(super) fn all_do(vms: &mut [Vm], what: &str) -> Result<Vec<Value>> {
    for vm in &mut *vms {
        vm.say(what)?;
    }
    vms.iter_mut().map(done).collect()
}

/// The counters of a guest that does nothing else.
pub(super) fn counters(vm: &mut Vm) -> Result<Counters> {
    Ok(serde_json::from_value(does(vm, "count")?)?)
}

/// A load that swaps by itself, out and back what it checks: nearly half of these small guests is their kernel and their
/// files. Less would fit into what the load before it has left free, and much more takes minutes on an emulated host.
pub(super) fn swapping_load(seed: u32) -> String {
    format!("verify 60 {seed}")
}

/// Ends guests that wait.
pub(super) fn end(vms: Vec<Vm>) -> Result<()> {
    vms.into_iter().try_for_each(|mut vm| {
        vm.say("end")?;
        vm.finish()
    })
}

/// The guest half.
///
/// | line | it |
/// |---|---|
/// | `read MIB PASSES` | reads and checks the disk of files, without what its page cache has of it |
/// | `forget` | empties what the store has of that disk |
/// | `hold PERCENT` | fills so much of its memory with pages, and keeps them |
/// | `release` | checks these pages and frees them |
/// | `verify PERCENT SEED` | does all of that at once, with other pages |
/// | `count` | tells its counters |
/// | `end` | ends |
pub(super) fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&["backing=/dev/vda"])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let disk = guest.cache_disk("vdb")?;
    guest.set("/sys/module/dm_tmem/parameters/scan_filter", "0")?;
    guest.set(&format!("/sys/block/{}/bdi/read_ahead_kb", disk.name()), "256")?;
    let mut held = None;
    let mut said = Value::Null;
    loop {
        let line = guest.sync(WAITS, &said)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        said = match words[..] {
            ["read", mib, passes] => read(guest, &disk, mib.parse()?, passes.parse()?)?,
            ["forget"] => disk.suspend_and_resume().map(|()| Value::Null)?,
            ["hold", percent] => {
                held = Some(hold(guest, percent.parse()?)?);
                Value::Null
            }
            ["release"] => release(held.take().context("nothing is held")?)?,
            ["verify", percent, seed] => {
                let size = guest.percent_of_memory(percent.parse()?)?;
                json!(guest.load(&["--size", &size, "--passes", "1", "--seed", seed])?.seconds())
            }
            ["count"] => json!(Counters::settled()?),
            ["end"] => break,
            _ => bail!("told to {line:?}"),
        };
    }
    disk.off()?;
    swap.off()
}

fn read(guest: &Guest, disk: &CachedDisk, mib: usize, passes: u32) -> Result<Value> {
    for _ in 0..passes {
        guest.drop_page_cache()?;
        traffic::receive(File::open(disk.path())?, SEED, mib * MIB)?;
    }
    Ok(Value::Null)
}

fn hold(guest: &Guest, percent: u64) -> Result<Load> {
    let size = guest.percent_of_memory(percent)?;
    // In order, and read once: a pass out of order of what does not fit takes minutes on an emulated host.
    let arguments =
        ["--size", size.as_str(), "--passes", "0", "--order", "sequential", "--hold", "line", "--seed", "9"];
    let mut held = guest.start_load(&arguments)?;
    held.wait_until_holding()?;
    Ok(held)
}

fn release(mut held: Load) -> Result<Value> {
    held.go()?;
    Ok(json!(held.finish()?.seconds()))
}
