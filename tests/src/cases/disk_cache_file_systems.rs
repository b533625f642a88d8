//! Other file systems than ext4 above a cached disk: large folios, checksums and copies on write change nothing of it.

use super::exactness::{disk_cache_is_exact, host_counter};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};
use serde_json::json;

pub(super) const CASE: Case = Case {
    name: "disk-cache-file-systems",
    shows: "XFS and btrfs behind the driver's cache: read again without the disk, written by all ways, never stale",
    runs: Runs::ON_6_1.in_soak(),
    host,
    guest,
};

const KINDS: [&str; 2] = ["xfs", "btrfs"];
const PLACE: &str = "/files";
const FILES: [&str; 5] = [PLACE, "--size", "32MiB", "--files", "4"];
const PAGES: u64 = 32 << 8;

fn host(host: &mut Host) -> Result<()> {
    let mut spec = Spec { memory_mib: 160, eviction: Some("second-chance"), file_systems: true, ..Spec::default() };
    for kind in KINDS {
        spec = spec.disk(host.disk_of_kind(kind, 512 << 20)?);
    }
    let mut vm = host.start(&spec)?;
    for (disk, kind) in KINDS.iter().enumerate() {
        let mut stage = |name: &str| -> Result<_> {
            let counters: Counters = serde_json::from_value(vm.expect(name)?)?;
            let report = vm.show()?;
            disk_cache_is_exact(&counters, &report)?;
            vm.go()?;
            Ok((counters, report))
        };
        let (once, read_once) = stage("read-once")?;
        let (again, read_again) = stage("read-again")?;
        let hits = again.driver("diskcache_hits")? - once.driver("diskcache_hits")?;
        ensure!(hits == PAGES, "{kind}: {hits} of {PAGES} pages came out of the store");
        let counter = format!("disk{disk}");
        let sectors = |report| host_counter(report, &counter, "sectors_read");
        let read = sectors(&read_again)? - sectors(&read_once)?;
        // Its own blocks: an eighth of the files at most.
        ensure!(read < PAGES, "{kind}: {read} sectors of the disk were read again");
        host.note(format!("{kind}: {hits} pages out of the store, {read} sectors of the disk"));
        stage("written")?;
    }
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    guest.command("load-modules", &["file-systems"])?;
    for (kind, disk) in KINDS.into_iter().zip(["vda", "vdb"]) {
        file_system(guest, kind, disk)?;
    }
    Ok(())
}

fn files(guest: &Guest, step: &str, more: &[&str]) -> Result<u64> {
    Ok(guest.load(&[&["files", step], &FILES[..], more].concat())?.digest())
}

fn file_system(guest: &Guest, kind: &str, disk: &str) -> Result<()> {
    let cached = guest.cache_disk(disk)?;
    let mounted = guest.mount(kind, "noatime", &cached.path(), PLACE)?;
    let tell = |name: &str| guest.sync(name, &json!(Counters::settled()?)).map(drop);
    files(guest, "write", &[])?;
    guest.drop_page_cache()?;
    files(guest, "read", &[])?;
    guest.drop_page_cache()?;
    tell("read-once")?;
    files(guest, "read", &[])?;
    tell("read-again")?;

    files(guest, "rewrite", &[])?;
    files(guest, "overwrite", &["--rewritten", "1", "--direct"])?;
    guest.drop_page_cache()?;
    files(guest, "read", &["--rewritten", "2", "--order", "random"])?;
    files(guest, "overwrite", &["--rewritten", "2"])?;
    guest.drop_page_cache()?;
    let through = files(guest, "read", &["--rewritten", "3"])?;
    tell("written")?;
    mounted.off(guest)?;
    cached.off()?;
    let mounted = guest.mount(kind, "noatime", &format!("/dev/{disk}"), PLACE)?;
    ensure!(
        through == files(guest, "read", &["--rewritten", "3"])?,
        "{kind}: through the cache and from the disk differ"
    );
    mounted.off(guest)
}
