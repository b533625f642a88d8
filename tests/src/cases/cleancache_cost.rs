//! What a second page cache costs the first read of files, a page a call and many, and what it saves the next.

use super::exactness::host_counter;
use super::figures::{median, ratio};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest, open_all};
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) const CASE: Case = Case {
    name: "cleancache-cost",
    shows: "a first read of files with cleancache, evicted pages put one by one and in batches, and without; a second read",
    runs: Runs::ON_REFERENCE.in_soak(),
    host,
    guest,
};

const DISK: &str = "/dev/vda";
const PLACE: &str = "/files";
const FILES: &str = "16";
const BATCH: &str = "/sys/module/tmem/parameters/cleancache_batch";
const ROUNDS: u32 = 3;
/// Pages to a call, at most; the first without copying them.
const BATCHES: [u32; 2] = [1, 32];

/// Two reads of all files after a mount, in seconds.
#[derive(Debug, Deserialize, Serialize)]
struct Reads {
    batch: Option<u32>,
    first: f64,
    again: f64,
    puts: u64,
    put_calls: u64,
}

fn host(host: &mut Host) -> Result<()> {
    let disk = host.ext4_disk("files", 512 << 20)?;
    let mut vm = host.start(&Spec { memory_mib: 128, ..Spec::default() }.disk(disk))?;
    let said = vm.expect("read")?;
    let pages = said["pages"].as_u64().context("no pages")?;
    let reads: Vec<Reads> = serde_json::from_value(said["reads"].clone())?;
    ensure!(host_counter(&vm.show()?, "store", "gets_exclusive")? > pages, "too little came out of the store");
    for batch in [None].into_iter().chain(BATCHES.map(Some)) {
        let of_it = || reads.iter().filter(|read| read.batch == batch);
        let (puts, calls) = (of_it().map(|read| read.puts).sum(), of_it().map(|read| read.put_calls).sum());
        let what = match batch {
            None => "without cleancache".to_owned(),
            Some(batch) => {
                let entries = ratio((puts, calls));
                ensure!(puts > pages / 4, "only {puts} pages of {pages} were put in a first read");
                ensure!(entries >= f64::from(batch) * 0.75, "batches of {batch}, and {entries:.1} pages a call");
                format!("{entries:.1} pages a call")
            }
        };
        let first = median(of_it().map(|read| read.first)).context("no read")?;
        let again = median(of_it().map(|read| read.again)).context("no read")?;
        host.note(format!("{what}: {first:.2} s for {pages} pages, again {again:.2} s"));
    }
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    let size = guest.percent_of_memory(125)?;
    let load = |step: &str| guest.load(&["files", step, PLACE, "--size", &size, "--files", FILES]);
    let mount = guest.mount_ext4(DISK, PLACE)?;
    let pages = load("write")?.pages;
    mount.off(guest)?;

    let read_twice = |batch: Option<u32>| -> Result<Reads> {
        let puts = || -> Result<(u64, u64)> {
            let Some(batch) = batch else { return Ok((0, 0)) };
            guest.set(BATCH, &batch.to_string())?;
            let counters = Counters::settled()?;
            Ok((counters.driver("cleancache_puts")?, counters.driver("put_calls")?))
        };
        let mount = guest.mount_ext4(DISK, PLACE)?;
        // A file whose inode leaves memory leaves the store, too.
        let open = open_all(PLACE)?;
        let before = puts()?;
        let first = load("read")?.seconds();
        let after = puts()?;
        let again = load("read")?.seconds();
        drop(open);
        mount.off(guest)?;
        Ok(Reads { batch, first, again, puts: after.0 - before.0, put_calls: after.1 - before.1 })
    };
    let mut reads = Vec::new();
    for _ in 0..ROUNDS {
        reads.push(read_twice(None)?);
    }
    guest.load_driver(&["cleancache=1"])?;
    for _ in 0..ROUNDS {
        for batch in BATCHES {
            reads.push(read_twice(Some(batch))?);
        }
    }
    guest.sync("read", &json!({ "pages": pages, "reads": reads })).map(drop)
}
