//! The demo: the same load in the same small guest, once with a swap disk and once with tmem.

use super::exactness::{host_counter, host_sum};
use crate::case::{Case, Runs};
use crate::guest::{Guest, vmstat};
use crate::host::{Disk, Host, Spec, Vm};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const CASE: Case = Case {
    name: DEMO,
    shows: "a load of 1.6 x RAM against disk swap and against tmem",
    runs: Runs::OF_THE_HOST.in_soak(),
    host,
    guest,
};

/// Name of the demo's case.
pub const DEMO: &str = "demo";

/// Guest memory in MiB.
const MEMORY_MIB: u32 = 160;
/// Pages like those of heaps. In order, as a disk likes it best.
const LOAD: &[&str] = &["--entropy", "0", "--rest", "records", "--order", "sequential"];
/// The longest that the load rests. A VM's cold pages are compressed by a tenth of a CPU, and an emulated one is slow.
const REST: Duration = Duration::from_secs(180);
/// Several times as long as a page must be cold here.
const CHANGES_WITHIN: Duration = Duration::from_secs(12);
const SECTORS_PER_PAGE: u64 = 8;

/// What one run of the load cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What the guest swapped to.
    pub swap: String,
    /// Run time of the load in seconds.
    pub seconds: f64,
    /// Pages read from the disk.
    pub disk_read_pages: u64,
    /// Pages written to the disk.
    pub disk_written_pages: u64,
    /// Pages in the store when it held most.
    pub stored_pages: u64,
    /// Host memory that they took, metadata included, in bytes.
    pub host_bytes: u64,
    /// The same when they had been left alone for a while.
    pub rested_bytes: u64,
    /// Pages that did not hold what was written.
    pub bad_pages: u64,
}

fn host(host: &mut Host) -> Result<()> {
    let disk = host.real_disk("swap", 512 << 20)?;
    for swap in ["disk", "tmem"] {
        let spec = Spec {
            memory_mib: MEMORY_MIB,
            limit: (swap == "tmem").then(|| "400%".to_owned()),
            disks: vec![Disk { direct: true, ..Disk::writable(disk.clone()) }],
            ..Spec::default()
        };
        let mut vm = host.start(&spec.arguments([swap]))?;
        vm.expect("holding")?;
        let full = vm.show()?;
        // A disk does not shrink.
        let rested_bytes = if swap == "tmem" { rested(&vm)? } else { 0 };
        vm.go()?;
        let ran = vm.expect("ran")?;
        let after = vm.show()?;
        let pages = |counter: &str| -> Result<u64> { Ok(host_counter(&after, "disk0", counter)? / SECTORS_PER_PAGE) };
        let row = Row {
            swap: swap.to_owned(),
            seconds: ran["seconds"].as_f64().context("no time")?,
            disk_read_pages: pages("sectors_read")?,
            disk_written_pages: pages("sectors_written")?,
            stored_pages: host_sum(&full, "store", "persistent_pages"),
            host_bytes: host_sum(&full, "store", "resident_bytes"),
            rested_bytes,
            bad_pages: ran["bad_pages"].as_u64().context("no count of bad pages")?,
        };
        host.note(serde_json::to_string(&row)?);
        vm.go()?;
        vm.finish()?;
    }
    Ok(())
}

/// What the store takes once that hardly changes any more: cold pages are compressed again, equal ones merged, and room that
/// this leaves in slabs is gathered and given back. On the way it may grow for a moment, while pages are moved.
fn rested(vm: &Vm) -> Result<u64> {
    let taken = || -> Result<u64> { Ok(host_sum(&vm.show()?, "store", "resident_bytes")) };
    let deadline = Instant::now() + REST;
    let mut bytes = taken()?;
    loop {
        thread::sleep(CHANGES_WITHIN);
        let now = taken()?;
        if now.abs_diff(bytes) <= now / 200 || Instant::now() > deadline {
            return Ok(now);
        }
        bytes = now;
    }
}

fn guest(guest: &mut Guest) -> Result<()> {
    let device = match guest.argument(0)? {
        "tmem" => {
            guest.load_driver(&[])?;
            "/dev/tmem0"
        }
        _ => "/dev/vda",
    };
    let swap = guest.swap_on(device)?;
    let size = guest.percent_of_memory(160)?;
    let mut load = guest.start_load(&[&["--size", size.as_str(), "--hold", "line"], LOAD].concat())?;
    // The load has filled its working set and waits: that is when the store holds most.
    load.wait_until_holding()?;
    guest.sync("holding", &json!(null))?;
    load.go()?;
    let report = load.report()?.context("the load was killed")?;
    ensure!(vmstat("pswpout")? > 0, "nothing was swapped out");
    guest.sync("ran", &json!({ "seconds": report.seconds(), "bad_pages": report.bad_pages }))?;
    swap.off()
}
