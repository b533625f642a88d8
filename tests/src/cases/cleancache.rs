//! The cleancache front end: clean pages of files go to the store when they are evicted, and come back instead of a
//! read of the disk.

use super::exactness::{cleancache_is_exact, host_counter};
use crate::case::{Case, Runs};
use crate::guest::{Cleancache, Counters, FewFiles, Guest, open_all, whole_pages};
use crate::host::{Host, Spec, Vm};
use anyhow::{Context, Result, bail, ensure};
use protocol::VmReport;
use rustix::fs::{Advice, fadvise};
use serde_json::json;
use std::fs::{self, File};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

pub(super) const CASE: Case = Case {
    name: "cleancache",
    shows: "1.25 x RAM of files: read again without the disk; what changes them invalidates exactly",
    runs: Runs { soak: &["5.10-reference", "5.10-debug"], ..Runs::ON_REFERENCE },
    host: |host| run(host, 128),
    guest: |guest| {
        let size = guest.percent_of_memory(125)?;
        files(guest, &size)
    },
};

/// The same, of the size in which cleancache used to be shown.
pub(super) const LARGE_CASE: Case = Case {
    name: "cleancache-large",
    shows: "300 MB of files in 256 MiB of RAM, as case cleancache",
    runs: Runs::ON_REFERENCE.in_soak(),
    host: |host| run(host, 256),
    guest: |guest| files(guest, &whole_pages(300_000)),
};

const DISK: &str = "/dev/vda";
const PLACE: &str = "/files";
/// Files that are larger than memory together.
const MANY: &str = "16";
const FEW_PLACE: &str = "/files/few";
const FEW: FewFiles = FewFiles::in_folder(FEW_PLACE);
/// Each takes a tenth of a second or more, and the driver keeps pages that long.
const GIVEN_TRIES: usize = 100;
/// Of each of the few files, pages that the driver collects for a while once they are evicted.
const AT_ONCE_BYTES: u64 = 16 * 4096;

fn run(host: &mut Host, memory_mib: u32) -> Result<()> {
    let disk = host.ext4_disk("files", 512 << 20)?;
    let mut vm = host.start(&Spec { memory_mib, ..Spec::default() }.disk(disk))?;

    let pages = vm.expect("read-once")?["pages"].as_u64().context("no pages")?;
    let first = vm.show()?;
    ensure!(host_counter(&first, "disk0", "sectors_read")? > pages * 8, "the first pass did not read the disk");
    vm.go()?;
    let again = exact(&mut vm, "read-again")?;
    let read = host_counter(&again, "disk0", "sectors_read")? - host_counter(&first, "disk0", "sectors_read")?;
    ensure!(read == 0, "the second and the third pass read {read} sectors of the disk");
    let hits = host_counter(&again, "store", "gets_hit")?;
    ensure!(hits > pages, "only {hits} of {pages} pages came out of the store in two passes");
    host.note(format!("{pages} pages of files, {hits} out of the store, {read} sectors of the disk"));

    vm.go()?;
    exact(&mut vm, "compared")?;
    vm.go()?;
    exact(&mut vm, "overwritten")?;
    // What was cut off or unlinked is gone, and nothing else was in the store.
    vm.go()?;
    let left = host_counter(&exact(&mut vm, "truncated-at-once")?, "store", "ephemeral_pages")?;
    ensure!(left == 0, "{left} pages are in the store after their files were truncated as soon as they were evicted");
    for change in ["truncated", "unlinked"] {
        vm.go()?;
        let before = host_counter(&exact(&mut vm, "stored")?, "store", "ephemeral_pages")?;
        ensure!(before >= FewFiles::PAGES, "only {before} pages were in the store before they were {change}");
        vm.go()?;
        let left = host_counter(&exact(&mut vm, change)?, "store", "ephemeral_pages")?;
        ensure!(left == 0, "{left} pages are in the store after their files were {change}");
    }
    // A pool known to be empty is asked once.
    let unlinked = vm.show()?;
    vm.go()?;
    let new = exact(&mut vm, "new")?;
    let asked = host_counter(&new, "store", "gets_empty")? - host_counter(&unlinked, "store", "gets_empty")?;
    ensure!(asked == 1, "the empty pool was asked {asked} times");
    unmounted(&mut vm)?;
    vm.finish()
}

/// An unmount drops the pool with all that it holds, and a remount finds nothing of it.
fn unmounted(vm: &mut Vm) -> Result<()> {
    vm.go()?;
    let mounted = exact(vm, "stored")?;
    let held = host_counter(&mounted, "store", "ephemeral_pages")?;
    ensure!(held >= FewFiles::PAGES, "only {held} pages were in the store before the unmount");
    vm.go()?;
    let report = exact(vm, "unmounted")?;
    let dropped = |report| host_counter(report, "store", "pages_flushed_by_pool");
    ensure!(dropped(&report)? - dropped(&mounted)? == held, "{held} pages held, and others were dropped");
    let left = host_counter(&report, "store", "ephemeral_pages")?;
    ensure!(left == 0, "{left} pages are in the store after the unmount");
    vm.go()?;
    exact(vm, "remounted")?;
    vm.go()
}

/// Waits for the guest half to get there; kernel, driver and host must have counted the same.
fn exact(vm: &mut Vm, stage: &str) -> Result<VmReport> {
    let mut said = vm.expect(stage)?;
    let kernel: Cleancache = serde_json::from_value(said["kernel"].take())?;
    let driver: Counters = serde_json::from_value(said["driver"].take())?;
    let report = vm.show()?;
    cleancache_is_exact(&kernel, &driver, &report).with_context(|| format!("at {stage}"))?;
    Ok(report)
}

/// Counters of a guest of which every evicted page was given to the host. Nothing else is put.
fn given() -> Result<Counters> {
    for _ in 0..GIVEN_TRIES {
        let counters = Counters::settled()?;
        let answered = counters.driver("puts_accepted")? + counters.sum("puts_rejected_");
        if answered == counters.driver("cleancache_puts")? {
            return Ok(counters);
        }
    }
    bail!("evicted pages stay with the driver")
}

fn stage(guest: &Guest, name: &str) -> Result<()> {
    let driver = given()?;
    guest.sync(name, &json!({ "driver": driver, "kernel": Cleancache::read()? }))?;
    Ok(())
}

fn files(guest: &mut Guest, size: &str) -> Result<()> {
    guest.command("mount", &["-t", "debugfs", "debugfs", "/sys/kernel/debug"])?;
    // Else the kernel's reclaim goes on by itself after memory was found fragmented, and puts what nobody has counted.
    fs::write("/proc/sys/vm/watermark_boost_factor", "0")?;
    guest.load_driver(&["cleancache=1"])?;
    ensure!(guest.unload_driver().is_err(), "the kernel cannot unregister a cleancache module, yet it went");
    let mount = guest.mount_ext4(DISK, PLACE)?;
    let many = |step: &str, more: &[&str]| {
        guest.load(&[&["files", step, PLACE, "--size", size, "--files", MANY], more].concat())
    };
    many("write", &[])?;
    mount.off(guest)?;

    let mount = guest.mount_ext4(DISK, PLACE)?;
    // A file whose inode leaves memory leaves the store, too.
    let open = open_all(PLACE)?;
    let once = many("read", &[])?;
    guest.sync("read-once", &json!({ "pages": once.pages }))?;
    let sectors = guest.sectors_read("vda")?;
    let again = many("read", &["--passes", "2"])?;
    let read = guest.sectors_read("vda")? - sectors;
    ensure!(read == 0, "the guest's kernel read {read} sectors of the disk");
    stage(guest, "read-again")?;

    let direct = many("read", &["--direct"])?;
    let digests = (once.digest(), again.digest(), direct.digest());
    ensure!(digests.0 == digests.1 && digests.1 == digests.2, "from the disk, the store, the disk: {digests:x?}");
    many("read", &["--order", "zipf"])?;
    stage(guest, "compared")?;
    drop(open);
    few_files(guest)?;

    mount.off(guest)?;
    stage(guest, "unmounted")?;
    let mount = guest.mount_ext4(DISK, PLACE)?;
    FEW.read_others(guest)?;
    stage(guest, "remounted")?;
    mount.off(guest)
}

/// Brings every page of the few files into the store and none of any other.
fn store_few(guest: &Guest, more: &[&str]) -> Result<Vec<File>> {
    // Only what was read from the disk is put.
    guest.drop_page_cache()?;
    let open = FEW.open()?;
    FEW.step(guest, "read", more)?;
    guest.drop_page_cache()?;
    stage(guest, "stored")?;
    Ok(open)
}

fn few_files(guest: &Guest) -> Result<()> {
    for file in fs::read_dir(PLACE)?.collect::<Result<Vec<_>, _>>()? {
        if file.file_type()?.is_file() {
            fs::remove_file(file.path())?;
        }
    }
    let cached = FEW.write_anew(guest)?;
    ensure!(cached == FEW.step(guest, "read", &["--rewritten", "2", "--direct"])?, "cache and disk differ");
    stage(guest, "overwritten")?;

    // Only what was read from the disk is put.
    guest.drop_page_cache()?;
    FEW.step(guest, "read", &["--rewritten", "2"])?;
    given()?;
    for file in FEW.open()? {
        fadvise(&file, 0, NonZeroU64::new(AT_ONCE_BYTES), Advice::DontNeed)?;
        // The driver has not given them to the host yet.
        truncate_and_extend(&file)?;
    }
    stage(guest, "truncated-at-once")?;
    for file in FEW.open()? {
        is_all_zeros(&file)?;
    }

    FEW.step(guest, "write", &[])?;
    for file in store_few(guest, &[])? {
        truncate_and_extend(&file)?;
    }
    stage(guest, "truncated")?;
    for file in FEW.open()? {
        is_all_zeros(&file)?;
    }

    FEW.step(guest, "write", &[])?;
    drop(store_few(guest, &[])?);
    fs::remove_dir_all(FEW_PLACE)?;
    stage(guest, "unlinked")?;

    FEW.make_others(guest)?;
    stage(guest, "new")?;
    store_few(guest, &["--seed", "2"]).map(drop)
}

fn truncate_and_extend(file: &File) -> Result<()> {
    let bytes = file.metadata()?.len();
    file.set_len(0)?;
    Ok(file.set_len(bytes)?)
}

fn is_all_zeros(file: &File) -> Result<()> {
    let mut bytes = vec![1; usize::try_from(file.metadata()?.len())?];
    file.read_exact_at(&mut bytes, 0)?;
    let wrong = bytes.iter().filter(|byte| **byte != 0).count();
    ensure!(wrong == 0, "{wrong} bytes of a file that was cut to nothing are back");
    Ok(())
}
