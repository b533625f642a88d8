//! The host takes all that the cache of a disk holds, and gives it back: the guest sees slower reads and no error.

use super::exactness::{disk_cache_is_exact, host_counter};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec, Vm};
use anyhow::{Context, Result, ensure};
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
/// Pages that a CPU has yet to add to the kernel's lists stay in memory, whatever is dropped: 15 of each, and 15 more that
/// are on their way to another list.
const LINGERING: u64 = 30;
/// Time between changes of the limit under the guest's reads.
const MOMENT: Duration = Duration::from_millis(700);

/// What driver and host have counted at a stage.
struct Stage {
    guest: Counters,
    report: VmReport,
}

impl Stage {
    /// Waits for the guest half to get there; both sides must have counted the same.
    fn reached(vm: &mut Vm, name: &str) -> Result<Self> {
        let guest = serde_json::from_value(vm.expect(name)?)?;
        let report = vm.show()?;
        disk_cache_is_exact(&guest, &report).with_context(|| format!("at {name}"))?;
        Ok(Self { guest, report })
    }

    fn store(&self, name: &str) -> Result<u64> {
        host_counter(&self.report, "store", name)
    }

    /// Pages that came out of the store since; those that the filter's probes asked for do not count.
    fn hits_since(&self, earlier: &Self) -> Result<u64> {
        Ok(self.guest.driver("diskcache_hits")? - earlier.guest.driver("diskcache_hits")?)
    }

    /// For a message: what happened since.
    fn told_since(&self, earlier: &Self) -> String {
        let store = ["limit_bytes", "resident_bytes", "ephemeral_pages", "pages_evicted"];
        let store = store.map(|name| format!("{name} {}", self.store(name).unwrap_or_default())).join(", ");
        format!("the driver counted {:?}; the store has {store}", self.guest.grown_since(&earlier.guest))
    }
}

fn host(host: &mut Host) -> Result<()> {
    let disk = host.ext4_disk("files", 256 << 20)?;
    let mut vm =
        host.start(&Spec { memory_mib: 128, eviction: Some("second-chance"), ..Spec::default() }.disk(disk))?;
    let began = Stage::reached(&mut vm, "began")?;
    vm.go()?;
    let full = Stage::reached(&mut vm, "stored")?;
    let stored = full.store("ephemeral_pages")?;
    ensure!(stored + LINGERING >= PAGES, "{stored} of {PAGES} pages are stored; {}", full.told_since(&began));

    vm.tmem("set", &["--limit", "0KiB"])?;
    let taken = vm.show()?;
    let left = (host_counter(&taken, "store", "ephemeral_pages")?, host_counter(&taken, "store", "resident_bytes")?);
    ensure!(left.0 == 0, "{} pages are left without a limit", left.0);
    vm.go()?;
    let without = Stage::reached(&mut vm, "without")?;
    let hits = without.hits_since(&full)?;
    ensure!(hits == 0, "{hits} pages came out of a store that has none; {}", without.told_since(&full));
    vm.tmem("set", &["--limit", "100%"])?;
    vm.go()?;
    let filled = Stage::reached(&mut vm, "filled")?;
    let stored = filled.store("ephemeral_pages")?;
    ensure!(
        stored + LINGERING >= PAGES,
        "{stored} of {PAGES} pages were stored when there was room again; {}",
        filled.told_since(&without)
    );
    vm.go()?;
    let again = Stage::reached(&mut vm, "again")?;
    let hits = again.hits_since(&filled)?;
    ensure!(
        hits + LINGERING >= PAGES,
        "{hits} of {PAGES} pages came out of the store when there was room again; {}",
        again.told_since(&filled)
    );

    vm.go()?;
    vm.expect("reading")?;
    let mut changes = 0;
    for limit in ["0KiB", "100%"].into_iter().cycle().take(8) {
        thread::sleep(MOMENT);
        vm.tmem("set", &["--limit", limit])?;
        changes += 1;
    }
    let refused = Stage::reached(&mut vm, "read")?.store("puts_rejected_over_limit")?;
    host.note(format!("{} resident bytes left at limit 0; {changes} changes, {refused} puts refused", left.1));
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let disk = guest.cache_disk("vda")?;
    let mounted = guest.mount_ext4(&disk.path(), PLACE)?;
    let tell = |name: &str| guest.sync(name, &json!(Counters::settled()?)).map(drop);
    guest.load(&[&["files", "write"], &FILES[..]].concat())?;
    tell("began")?;
    read(guest)?;
    tell("stored")?;
    read(guest)?;
    tell("without")?;
    read(guest)?;
    tell("filled")?;
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
