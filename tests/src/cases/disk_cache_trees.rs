//! What a cached disk is worth to who reads a tree of files again, and what it costs to unmount it.

use super::exactness::{disk_cache_is_exact, host_counter};
use crate::case::{Case, Runs};
use crate::guest::{CachedDisk, Counters, Guest, Mount};
use crate::host::{Disk, Host, Spec, Vm, make_ext4};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(super) const CASE: Case = Case {
    name: "disk-cache-trees",
    shows: "a tree read again, with and without the cache; unmounting with 300 MB there; a store smaller than the set",
    runs: Runs::ON_6_1.in_soak(),
    host,
    guest,
};

const PLACE: &str = "/files";
/// Word for the guest half that has a store smaller than its files.
const SMALL_STORE: &str = "small-store";
/// What that store may take. Pages do not compress, so it holds a little less.
const SMALL_LIMIT: &str = "24MiB";
const SET: [&str; 7] = ["/files/set", "--size", "32MiB", "--files", "4", "--entropy", "100"];
const SET_PAGES: u64 = 32 << 8;
const TREE: &str = "/files/tree";
const FOLDERS: u32 = 12;
/// In each folder.
const TREE_FILES: [&str; 4] = ["--size", "3MiB", "--files", "96"];
const TREE_PAGES: u64 = FOLDERS as u64 * (3 << 8);
/// 300 MB that compress well.
const MANY: [&str; 5] = ["/files/many", "--size", "286MiB", "--files", "64"];
const MANY_PAGES: u64 = 286 << 8;
/// Read before each unmount, so that there is as much in the page cache.
const FEW: [&str; 5] = ["/files/few", "--size", "8MiB", "--files", "2"];
const UNMOUNTS: usize = 7;
const SECTORS_PER_PAGE: u64 = 8;
/// What is written first takes minutes under emulation.
const PATIENCE: Duration = Duration::from_secs(1500);

/// A tree read by `tar`, from the disk or through its cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reading {
    checksum: String,
    sectors: u64,
    seconds: f64,
}

/// What it took to unmount.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Unmounts {
    /// Medians of milliseconds.
    ms: f64,
    /// Calls of the driver, of all of them.
    calls: u64,
}

fn host(host: &mut Host) -> Result<()> {
    let bed = if Host::owns_machine() { "emulated" } else { "direct" };
    let spec = Spec { memory_mib: 128, eviction: Some("second-chance"), patience: PATIENCE, ..Spec::default() };
    let disk = host.real_disk("files", 512 << 20)?;
    make_ext4(&disk)?;
    // So that a read of the disk is one.
    let disks = vec![Disk { direct: true, ..Disk::writable(disk) }];
    let mut vm = host.start(&Spec { disks, ..spec.clone() }.arguments(["large-store"]))?;
    let [plain, first, cached]: [Reading; 3] = serde_json::from_value(exact(&mut vm, "trees")?)?;
    ensure!(
        plain.checksum == cached.checksum && plain.checksum == first.checksum,
        "the tree differs: {plain:?}, {first:?}, {cached:?}"
    );
    ensure!(plain.sectors >= TREE_PAGES * SECTORS_PER_PAGE, "without the cache only {} sectors", plain.sectors);
    // Folders and inodes are the file system's own, which the cache lets pass.
    ensure!(
        cached.sectors * 10 <= plain.sectors,
        "{} sectors with the cache, {} without",
        cached.sectors,
        plain.sectors
    );
    host.note(format!(
        "a tree of {TREE_PAGES} pages, read again: {} sectors, {} with the cache; {:.2} s from disk, {:.2} s from the store, \
         on the {bed} bed",
        plain.sectors, cached.sectors, plain.seconds, cached.seconds
    ));
    vm.go()?;
    unmounted(host, &mut vm)?;
    vm.finish()?;

    let disk = host.ext4_disk("set", 128 << 20)?;
    let small = Spec { limit: Some(SMALL_LIMIT.to_owned()), ..spec };
    let mut vm = host.start(&small.disk(disk).arguments([SMALL_STORE]))?;
    small_store(host, &mut vm)?;
    vm.finish()
}

/// What a guest half says at a stage with its counters, which the host's must equal.
fn exact(vm: &mut Vm, stage: &str) -> Result<Value> {
    let mut said = vm.expect(stage)?;
    let counters: Counters = serde_json::from_value(said["counters"].take())?;
    disk_cache_is_exact(&counters, &vm.show()?).with_context(|| format!("at {stage}"))?;
    Ok(said["said"].take())
}

fn unmounted(host: &mut Host, vm: &mut Vm) -> Result<()> {
    let [plain, cached]: [Unmounts; 2] = serde_json::from_value(exact(vm, "unmounts")?)?;
    let held = host_counter(&vm.show()?, "store", "ephemeral_pages")?;
    ensure!(held >= MANY_PAGES, "only {held} pages are in the store");
    // What the file system writes then was never put.
    ensure!(cached.calls == 0, "{} calls for {UNMOUNTS} unmounts", cached.calls);
    host.note(format!(
        "unmounting {:.1} ms without a cache, {:.1} ms with {held} pages there, no call",
        plain.ms, cached.ms
    ));
    vm.go()?;
    let calls = exact(vm, "removed")?.as_u64().context("no number of calls")?;
    // Suspended, the device drops what it has put; ended, it destroys the pool.
    ensure!(calls == 2, "{calls} calls to drop {held} pages");
    vm.show_until(|report| {
        Ok(host_counter(report, "store", "ephemeral_pages")? == 0
            && host_counter(report, "store", "detached_pages")? == 0)
    })?;
    vm.go()
}

/// Passes two and three read no more than what does not fit.
fn small_store(host: &mut Host, vm: &mut Vm) -> Result<()> {
    let mut passes = Vec::new();
    for pass in 1..=3 {
        let read = exact(vm, "passed")?.as_u64().context("no number of pages")?;
        let held = host_counter(&vm.show()?, "store", "ephemeral_pages")?;
        passes.push((read, held));
        ensure!(held * 5 > SET_PAGES * 3, "{held} pages are in the store after pass {pass}");
        vm.go()?;
    }
    host.note(format!("{SET_PAGES} pages, a store of {SMALL_LIMIT}: read and held after each pass {passes:?}"));
    for window in passes.windows(2) {
        let [(_, held), (read, _)] = window else { continue };
        ensure!(
            *read <= SET_PAGES - held + SET_PAGES / 16,
            "{read} pages read, of which {held} were there: {passes:?}"
        );
    }
    Ok(())
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    if guest.argument(0)? == SMALL_STORE {
        return read_set(guest);
    }
    let mounted = guest.mount_ext4("/dev/vda", PLACE)?;
    std::fs::create_dir(TREE)?;
    for folder in 0..FOLDERS {
        write(guest, &[&[&*format!("{TREE}/{folder}")], &TREE_FILES[..], &["--seed", &folder.to_string()]].concat())?;
    }
    write(guest, &MANY)?;
    write(guest, &FEW)?;
    mounted.off(guest)?;
    read_tree(guest, "/dev/vda")?;
    let plain = read_tree(guest, "/dev/vda")?;
    let plain_unmounts = unmounts(guest, "/dev/vda")?;

    let disk = guest.cache_disk("vda")?;
    let first = read_tree(guest, &disk.path())?;
    let cached = read_tree(guest, &disk.path())?;
    tell(guest, "trees", &json!([plain, first, cached]))?;
    let mounted = mount(guest, &disk)?;
    guest.load(&[&["files", "read"], &MANY[..]].concat())?;
    mounted.off(guest)?;
    let cached_unmounts = unmounts(guest, &disk.path())?;
    tell(guest, "unmounts", &json!([plain_unmounts, cached_unmounts]))?;
    let before = Counters::settled()?.driver("hypercalls")?;
    disk.off()?;
    tell(guest, "removed", &json!(Counters::settled()?.driver("hypercalls")? - before))
}

fn tell(guest: &Guest, stage: &str, said: &Value) -> Result<()> {
    guest.sync(stage, &json!({ "said": said, "counters": Counters::settled()? })).map(drop)
}

fn mount(guest: &Guest, disk: &CachedDisk) -> Result<Mount> {
    guest.mount_ext4(&disk.path(), PLACE)
}

fn write(guest: &Guest, of: &[&str]) -> Result<()> {
    std::fs::create_dir_all(of[0])?;
    guest.load(&[&["files", "write"], of].concat()).map(drop)
}

/// Reads the tree as a copy of it would, of a mount that has read nothing yet.
fn read_tree(guest: &Guest, device: &str) -> Result<Reading> {
    let mounted = guest.mount_ext4(device, PLACE)?;
    let sectors = guest.sectors_read("vda")?;
    let started = Instant::now();
    let checksum = guest.command("sh", &["-c", &format!("tar -c -f - -C {TREE} . | md5sum")])?;
    let seconds = started.elapsed().as_secs_f64();
    let sectors = guest.sectors_read("vda")? - sectors;
    mounted.off(guest)?;
    Ok(Reading { checksum: checksum.trim().to_owned(), sectors, seconds })
}

fn unmounts(guest: &Guest, device: &str) -> Result<Unmounts> {
    let (mut ms, mut calls) = (Vec::new(), 0);
    for _ in 0..UNMOUNTS {
        let mounted = guest.mount_ext4(device, PLACE)?;
        guest.load(&[&["files", "read"], &FEW[..]].concat())?;
        let before = Counters::settled()?.driver("hypercalls")?;
        let started = Instant::now();
        mounted.off(guest)?;
        ms.push(started.elapsed().as_secs_f64() * 1e3);
        calls += Counters::settled()?.driver("hypercalls")? - before;
    }
    ms.sort_by(f64::total_cmp);
    Ok(Unmounts { ms: ms[UNMOUNTS / 2], calls })
}

/// Three passes over files that the store cannot hold, with the pages that each read of the disk.
fn read_set(guest: &Guest) -> Result<()> {
    let mounted = guest.mount_ext4("/dev/vda", PLACE)?;
    write(guest, &SET)?;
    mounted.off(guest)?;
    let disk = guest.cache_disk("vda")?;
    let mounted = mount(guest, &disk)?;
    let read = |counters: &Counters| -> Result<u64> {
        let names = ["diskcache_misses", "diskcache_gets_spared", "diskcache_rereads"];
        names.iter().map(|name| counters.driver(name)).sum()
    };
    for _ in 0..3 {
        guest.drop_page_cache()?;
        let before = read(&Counters::settled()?)?;
        guest.load(&[&["files", "read"], &SET[..]].concat())?;
        let pages = read(&Counters::settled()?)? - before;
        tell(guest, "passed", &json!(pages))?;
    }
    mounted.off(guest)?;
    disk.off()
}
