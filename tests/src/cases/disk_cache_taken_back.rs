//! The host takes all that the cache of a disk holds, and gives it back: the guest sees slower reads and no error.

use super::exactness::{disk_cache_is_exact, host_counter};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec, Vm};
use anyhow::{Result, ensure};
use protocol::VmReport;
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

pub(super) const CASE: Case = Case {
    name: "disk-cache-taken-back",
    shows: "tmem set --limit to nothing and back while a guest reads: no error, the memory is back, the cache fills again",
    runs: Runs::ON_6_1,
    host,
    guest,
};

const PLACE: &str = "/files";
const FILES: [&str; 5] = [PLACE, "--size", "48MiB", "--files", "4"];
const PAGES: u64 = 48 << 8;
/// Time between changes of the limit under the guest's reads.
const MOMENT: Duration = Duration::from_millis(700);

fn host(host: &mut Host) -> Result<()> {
    let disk = host.ext4_disk("files", 256 << 20)?;
    let mut vm =
        host.start(&Spec { memory_mib: 128, eviction: Some("second-chance"), ..Spec::default() }.disk(disk))?;
    let stored = host_counter(&stage(&mut vm, "stored")?, "store", "ephemeral_pages")?;
    ensure!(stored >= PAGES, "only {stored} pages of {PAGES} are in the store");

    vm.tmem("set", &["--limit", "0KiB"])?;
    let taken = vm.show()?;
    let left = (host_counter(&taken, "store", "ephemeral_pages")?, host_counter(&taken, "store", "resident_bytes")?);
    ensure!(left.0 == 0, "{} pages are left without a limit", left.0);
    vm.go()?;
    let without = stage(&mut vm, "without")?;
    let hits = host_counter(&without, "store", "gets_hit")? - host_counter(&taken, "store", "gets_hit")?;
    ensure!(hits == 0, "{hits} pages came out of a store that has none");
    vm.tmem("set", &["--limit", "100%"])?;
    vm.go()?;
    let again = stage(&mut vm, "again")?;
    let hits = host_counter(&again, "store", "gets_hit")? - host_counter(&without, "store", "gets_hit")?;
    ensure!(hits >= PAGES, "only {hits} of {PAGES} pages came out of the store when there was room again");

    vm.go()?;
    vm.expect("reading")?;
    let mut changes = 0;
    for limit in ["0KiB", "100%"].into_iter().cycle().take(8) {
        thread::sleep(MOMENT);
        vm.tmem("set", &["--limit", limit])?;
        changes += 1;
    }
    let read = stage(&mut vm, "read")?;
    let refused = host_counter(&read, "store", "puts_rejected_over_limit")?;
    host.note(format!("{} resident bytes left at limit 0; {changes} changes, {refused} puts refused", left.1));
    vm.go()?;
    vm.finish()
}

fn stage(vm: &mut Vm, name: &str) -> Result<VmReport> {
    let counters = serde_json::from_value(vm.expect(name)?)?;
    let report = vm.show()?;
    disk_cache_is_exact(&counters, &report)?;
    Ok(report)
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let disk = guest.cache_disk("vda")?;
    let mounted = guest.mount_ext4(&disk.path(), PLACE)?;
    let tell = |name: &str| guest.sync(name, &json!(Counters::settled()?)).map(drop);
    guest.load(&[&["files", "write"], &FILES[..]].concat())?;
    read(guest)?;
    tell("stored")?;
    read(guest)?;
    tell("without")?;
    read(guest)?;
    read(guest)?;
    tell("again")?;
    guest.tell("reading", &Value::Null);
    for _ in 0..6 {
        read(guest)?;
    }
    tell("read")?;
    mounted.off(guest)?;
    disk.off()
}

/// Reads and checks every page, none of which is in memory.
fn read(guest: &Guest) -> Result<()> {
    guest.drop_page_cache()?;
    guest.load(&[&["files", "read"], &FILES[..]].concat()).map(drop)
}
