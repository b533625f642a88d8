//! The cache below the file system: what is read from a disk goes to the store, and comes back instead of another read
//! of the disk; on every kernel.

use super::exactness::{disk_cache_is_exact, host_counter};
use crate::case::{Case, Runs};
use crate::guest::{CachedDisk, Counters, FewFiles, Guest, Mount, open_all};
use crate::host::{Host, Spec, Vm};
use anyhow::{Context, Result, ensure};
use protocol::VmReport;
use serde_json::json;
use std::fs;

pub(super) const CASE: Case = Case {
    name: "disk-cache",
    shows: "1.25 x RAM of files on ext4 behind the driver's cache: read again without the disk, never stale",
    runs: Runs { test: &["6.1", "sid"], ..Runs::ON_6_1.and_debug() },
    host,
    guest,
};

const DISK: &str = "vda";
const PLACE: &str = "/files";
/// Files that are larger than memory together.
const MANY: &str = "16";
const FEW_PLACE: &str = "/files/few";
const FEW: FewFiles = FewFiles::in_folder(FEW_PLACE);
/// Pages put that a call must carry at least, where the disk is read in order.
const PAGES_A_CALL: u64 = 32;
const SECTORS_PER_PAGE: u64 = 8;
/// Some seconds after the mount ext4 reads its block bitmaps by itself: four, of 4 KiB. It may do so after the guest has
/// counted and before the host has.
const BITMAP_SECTORS: u64 = 32;

/// What driver and host have counted at a stage.
struct Stage {
    guest: Counters,
    host: VmReport,
}

impl Stage {
    /// Waits for the guest half to get there; both sides must have counted the same.
    fn reached(vm: &mut Vm, name: &str) -> Result<Self> {
        let guest = serde_json::from_value(vm.expect(name)?)?;
        let host = vm.show()?;
        disk_cache_is_exact(&guest, &host).with_context(|| format!("at {name}"))?;
        Ok(Self { guest, host })
    }

    /// How much a counter of the driver has grown since `earlier`.
    fn since(&self, earlier: &Self, name: &str) -> Result<u64> {
        Ok(self.guest.driver(name)? - earlier.guest.driver(name)?)
    }

    /// Pages of files that the disk has read since `earlier`. Together with what the cache let pass, the file system's
    /// own blocks for instance, they must be what the host's disk has read.
    fn pages_read_since(&self, earlier: &Self) -> Result<u64> {
        let names = ["diskcache_misses", "diskcache_gets_spared", "diskcache_rereads"];
        let pages = names.iter().map(|name| self.since(earlier, name)).sum::<Result<u64>>()?;
        let passed = self.since(earlier, "diskcache_sectors_bypassed")?;
        let sectors = |stage: &Self| host_counter(&stage.host, "disk0", "sectors_read");
        let read = sectors(self)? - sectors(earlier)?;
        ensure!(
            read.abs_diff(pages * SECTORS_PER_PAGE + passed) <= BITMAP_SECTORS,
            "the disk has read {read} sectors; {pages} pages and {passed} sectors were asked of it"
        );
        Ok(pages)
    }

    fn stored(&self) -> Result<u64> {
        host_counter(&self.host, "store", "ephemeral_pages")
    }
}

fn host(host: &mut Host) -> Result<()> {
    let disk = host.ext4_disk("files", 512 << 20)?;
    let spec = Spec { memory_mib: 128, eviction: Some("second-chance"), ..Spec::default() };
    let mut vm = host.start(&spec.disk(disk))?;
    let written = Stage::reached(&mut vm, "written")?;
    let pages = read_three_times(host, &mut vm, &written)?;

    vm.go()?;
    let compared = Stage::reached(&mut vm, "compared")?;
    vm.go()?;
    let overwritten = Stage::reached(&mut vm, "overwritten")?;
    ensure!(overwritten.since(&compared, "diskcache_flushes")? > 0, "no write met a page that was in the store");
    // The file system discards what a file no longer has.
    for change in ["truncated", "unlinked"] {
        vm.go()?;
        let before = Stage::reached(&mut vm, "stored")?.stored()?;
        vm.go()?;
        let after = Stage::reached(&mut vm, change)?.stored()?;
        ensure!(
            after + FewFiles::PAGES <= before,
            "{before} pages in the store, and {after} after files were {change}"
        );
    }
    vm.go()?;
    let remounted = Stage::reached(&mut vm, "remounted")?;
    vm.go()?;
    let again = Stage::reached(&mut vm, "read-remounted")?;
    let (hits, read) = (again.since(&remounted, "diskcache_hits")?, again.pages_read_since(&remounted)?);
    ensure!(
        (hits, read) == (FewFiles::PAGES, 0),
        "after the remount {hits} of {} pages out of the store, {read} read",
        FewFiles::PAGES
    );
    vm.go()?;
    let left = Stage::reached(&mut vm, "resumed")?.stored()?;
    ensure!(left == 0, "{left} pages are in the store after the device was suspended");
    vm.go()?;
    let removed = Stage::reached(&mut vm, "removed")?;
    // The pool of the swap device is left.
    let pools = host_counter(&removed.host, "store", "pools")?;
    ensure!(pools == 1, "{pools} pools are left");
    host.note(format!("{pages} pages of files"));
    vm.go()?;
    vm.finish()
}

/// Returns the pages of the files.
fn read_three_times(host: &mut Host, vm: &mut Vm, written: &Stage) -> Result<u64> {
    vm.go()?;
    let once = Stage::reached(vm, "read-once")?;
    let (pages, calls) = (once.since(written, "diskcache_puts")?, once.since(written, "hypercalls")?);
    ensure!(once.pages_read_since(written)? == pages, "{pages} pages were put, and another number was read");
    ensure!(pages >= calls * PAGES_A_CALL, "{pages} pages were put in {calls} calls");
    // But for the probes of the scan filter.
    let cold_gets = once.since(written, "get_calls")?;
    let probes = once.since(written, "diskcache_probes_hit")?;
    ensure!(cold_gets == probes, "{cold_gets} gets, {probes} of them probes: the rest was for what was never put");
    vm.go()?;
    let again = Stage::reached(vm, "read-again")?;
    let read = again.pages_read_since(&once)?;
    ensure!(read == 0, "the second and the third pass read {read} pages of the disk");
    let (hits, gets) = (again.since(&once, "diskcache_hits")?, again.since(&once, "get_calls")?);
    ensure!(hits > pages, "only {hits} pages came out of the store in two passes over {pages}");
    host.note(format!("{pages} pages put in {calls} calls, {hits} got in {gets}"));
    Ok(pages)
}

fn stage(guest: &Guest, name: &str) -> Result<()> {
    guest.sync(name, &json!(Counters::settled()?)).map(drop)
}

fn mount(guest: &Guest, disk: &CachedDisk) -> Result<Mount> {
    guest.mount("ext4", "noatime,discard", &disk.path(), PLACE)
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let disk = guest.cache_disk(DISK)?;
    ensure!(guest.mount_ext4("/dev/vda", PLACE).is_err(), "the disk below the cache could be mounted");
    // As many pages as a call carries.
    guest.set(&format!("/sys/block/{}/bdi/read_ahead_kb", disk.name()), "256")?;
    let size = guest.percent_of_memory(125)?;
    let many = |step: &str, more: &[&str]| {
        guest.load(&[&["files", step, PLACE, "--size", &size, "--files", MANY], more].concat())
    };
    let mounted = mount(guest, &disk)?;
    many("write", &[])?;
    mounted.off(guest)?;

    let mounted = mount(guest, &disk)?;
    let open = open_all(PLACE)?;
    stage(guest, "written")?;
    let once = many("read", &[])?;
    stage(guest, "read-once")?;
    let again = many("read", &["--passes", "2"])?;
    stage(guest, "read-again")?;
    let direct = many("read", &["--direct"])?;
    let digests = (once.digest(), again.digest(), direct.digest());
    ensure!(digests.0 == digests.1 && digests.1 == digests.2, "from the disk, the store, the disk: {digests:x?}");
    stage(guest, "compared")?;
    drop(open);
    few_files(guest)?;
    mounted.off(guest)?;

    let mounted = mount(guest, &disk)?;
    drop(FEW.open()?);
    stage(guest, "remounted")?;
    FEW.read_others(guest)?;
    stage(guest, "read-remounted")?;
    disk.suspend_and_resume()?;
    stage(guest, "resumed")?;
    guest.drop_page_cache()?;
    let cached = FEW.read_others(guest)?;
    mounted.off(guest)?;
    disk.off()?;
    stage(guest, "removed")?;
    let mounted = guest.mount_ext4("/dev/vda", PLACE)?;
    ensure!(cached == FEW.read_others(guest)?, "through the cache and from the disk alone differ");
    mounted.off(guest)
}

/// Brings every page of the few files into the store.
fn store_few(guest: &Guest, more: &[&str]) -> Result<()> {
    guest.drop_page_cache()?;
    FEW.step(guest, "read", more)?;
    guest.drop_page_cache()?;
    FEW.step(guest, "read", more)?;
    stage(guest, "stored")
}

fn few_files(guest: &Guest) -> Result<()> {
    for file in open_all(PLACE)? {
        file.set_len(0)?;
    }
    FEW.write_anew(guest)?;
    // And past the page cache.
    FEW.step(guest, "overwrite", &["--rewritten", "2", "--direct"])?;
    let cached = FEW.step(guest, "read", &["--rewritten", "3"])?;
    ensure!(cached == FEW.step(guest, "read", &["--rewritten", "3", "--direct"])?, "cache and disk differ");
    stage(guest, "overwritten")?;

    store_few(guest, &["--rewritten", "3"])?;
    for file in FEW.open()? {
        file.set_len(0)?;
    }
    guest.drop_page_cache()?;
    stage(guest, "truncated")?;

    FEW.step(guest, "write", &[])?;
    store_few(guest, &[])?;
    fs::remove_dir_all(FEW_PLACE)?;
    guest.drop_page_cache()?;
    stage(guest, "unlinked")?;

    FEW.make_others(guest).map(drop)
}
