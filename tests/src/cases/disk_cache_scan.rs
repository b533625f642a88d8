//! The scan filter of a cached disk: one read of far more than the cache holds, and what is left of a working set.

use super::exactness::disk_cache_is_exact;
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use serde_json::json;

pub(super) const CASE: Case = Case {
    name: "disk-cache-scan",
    shows: "a scan of 4 x the cache leaves the working set there, and does not without the filter",
    runs: Runs::ON_6_1.in_soak(),
    host,
    guest,
};

/// What the store may take. Pages do not compress, so it holds a little less.
const LIMIT: &str = "40MiB";
const SCAN: [&str; 6] = ["/files/scan", "--size", "160MiB", "--entropy", "100", "--files"];
const WORKING_SET: [&str; 7] = ["/files/set", "--size", "24MiB", "--entropy", "100", "--files", "4"];
/// A scan of one file, and of many.
const SCANS: [(&str, &str); 2] = [("one file", "1"), ("160 files", "160")];
/// Of its hits before, the least that the working set must have after a scan, in percent.
const KEPT: f64 = 90.0;

fn host(host: &mut Host) -> Result<()> {
    let disk = host.ext4_disk("files", 512 << 20)?;
    let spec =
        Spec { memory_mib: 128, limit: Some(LIMIT.to_owned()), eviction: Some("second-chance"), ..Spec::default() };
    let mut vm = host.start(&spec.disk(disk))?;
    for (what, _) in SCANS {
        for filter in ["1", "0"] {
            for readings in ["two", "one"] {
                let said = vm.expect("scanned")?;
                disk_cache_is_exact(&serde_json::from_value(said["counters"].clone())?, &vm.show()?)?;
                let percent = |name: &str| said[name].as_f64().with_context(|| format!("no {name}"));
                let (before, after) = (percent("before")?, percent("after")?);
                host.note(format!(
                    "{what}, filter {filter}, set read in {readings}: {before:.0} % of it hit before, {after:.0} % after"
                ));
                let hits = format!("{before:.1} % of the set hit before, {after:.1} % after");
                match (filter, readings) {
                    ("1", "two") => ensure!(before >= KEPT && after >= before * KEPT / 100.0, "{hits}"),
                    ("0", _) => ensure!(after < before / 2.0, "without the filter {hits}: the scan is no danger"),
                    _ => {}
                }
                vm.go()?;
            }
        }
    }
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    for (_, files) in SCANS {
        for filter in ["1", "0"] {
            for readings in [2, 1] {
                scan(guest, files, filter, readings)?;
            }
        }
    }
    Ok(())
}

fn load(guest: &Guest, step: &str, of: &[&str]) -> Result<u64> {
    Ok(guest.load(&[&["files", step], of].concat())?.pages)
}

fn scan(guest: &Guest, files: &str, filter: &str, readings: u32) -> Result<()> {
    let scanned = [&SCAN[..], &[files]].concat();
    let mounted = guest.mount_ext4("/dev/vda", "/files")?;
    for of in [&WORKING_SET[..], &scanned] {
        std::fs::create_dir_all(of[0])?;
        load(guest, "write", of)?;
    }
    mounted.off(guest)?;

    let disk = guest.cache_disk("vda")?;
    guest.set(&format!("/sys/block/{}/bdi/read_ahead_kb", disk.name()), "256")?;
    guest.set("/sys/module/dm_tmem/parameters/scan_filter", filter)?;
    let mounted = guest.mount_ext4(&disk.path(), "/files")?;
    hits_of_the_set(guest)?;
    // What was read once is all there, and the store has nothing to tell it from what the scan reads.
    let before = if readings == 2 { hits_of_the_set(guest)? } else { 100.0 };
    load(guest, "read", &scanned)?;
    let after = hits_of_the_set(guest)?;
    let counters = json!(Counters::settled()?);
    guest.sync("scanned", &json!({ "before": before, "after": after, "counters": counters }))?;
    mounted.off(guest)?;
    disk.off()
}

/// Reads the working set; percent of its pages that came out of the store.
#[expect(clippy::cast_precision_loss, reason = "a few thousand pages")]
fn hits_of_the_set(guest: &Guest) -> Result<f64> {
    guest.drop_page_cache()?;
    let hits = || Counters::settled()?.driver("diskcache_hits");
    let before = hits()?;
    let pages = load(guest, "read", &WORKING_SET)?;
    Ok((hits()? - before) as f64 * 100.0 / pages as f64)
}
