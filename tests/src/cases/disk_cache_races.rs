//! Reads of a cached disk raced by writes past and through the page cache, on two CPUs that really run at the same time:
//! what was read beside a write must not stay in the store.

use super::exactness::nothing_is_lost;
use crate::case::{ALL_KERNELS, Case, Runs, Under};
use crate::guest::{Counters, Guest};
use crate::host::Host;
use crate::marker;
use anyhow::{Result, ensure};
use serde_json::json;
use std::fs::{self, File};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ON_TWO_CPUS: Runs = Runs { test: &["6.1"], soak: ALL_KERNELS, under: Under::PlainEmulation };

/// With the guard.
pub(super) const CASE: Case = Case {
    name: "disk-cache-races",
    shows: "direct and buffered writers against readers with drop_caches on two real CPUs: nothing stale in the store",
    runs: ON_TWO_CPUS,
    host: no_host_half,
    guest: |guest| exact(guest, Duration::from_secs(120)),
};

/// The same for ten minutes.
pub(super) const LONG_CASE: Case = Case {
    name: "disk-cache-races-long",
    shows: "the same for ten minutes",
    runs: Runs { soak: &["6.1"], ..ON_TWO_CPUS.in_soak() },
    host: no_host_half,
    guest: |guest| exact(guest, Duration::from_secs(600)),
};

/// The same without the guard: the cases above can fail.
pub(super) const NAIVE_CASE: Case = Case {
    name: "disk-cache-naive",
    shows: "without the guard the same finds stale pages",
    runs: ON_TWO_CPUS,
    host: no_host_half,
    guest: naive,
};

const PLACE: &str = "/files";
/// A slow machine needs longer to race; a race that comes to nothing ends here.
const PATIENCE: Duration = Duration::from_secs(1200);
/// Written by direct writes.
const DIRECT: Set = Set { place: "/files/direct", step: "overwrite", more: &["--direct"] };
/// Read, checked and written through the page cache.
const BUFFERED: Set = Set { place: "/files/buffered", step: "rewrite", more: &[] };
/// Pages of both sets fit into the store.
const STORE: [&str; 2] = ["test_store=1", "test_store_pages=10240"];
const SIZE: [&str; 4] = ["--size", "12MiB", "--files", "3"];

/// Files, and how they are written.
#[derive(Clone, Copy)]
struct Set {
    place: &'static str,
    step: &'static str,
    more: &'static [&'static str],
}

impl Set {
    fn arguments<'a>(&self, step: &'a str, more: &[&'a str]) -> Vec<&'a str>
    where
        Self: 'a,
    {
        [&["files", step, self.place], &SIZE[..], more].concat()
    }

    fn make(&self, guest: &Guest) -> Result<()> {
        fs::create_dir(self.place)?;
        guest.load(&self.arguments("write", &[])).map(drop)
    }

    /// Every page must be right, whether it comes from the store or from the disk.
    fn check(&self, guest: &Guest, rewritten: &str) -> Result<()> {
        let cached = guest.load(&self.arguments("read", &["--rewritten", rewritten]))?;
        let direct = guest.load(&self.arguments("read", &["--rewritten", rewritten, "--direct"]))?;
        ensure!(cached.digest() == direct.digest(), "{}: through the cache and from the disk differ", self.place);
        Ok(())
    }
}

fn no_host_half(_: &mut Host) -> Result<()> {
    anyhow::bail!("this case runs in plain emulation, without a host half")
}

fn exact(guest: &Guest, duration: Duration) -> Result<()> {
    guest.load_driver(&STORE)?;
    let disk = guest.cache_disk("vda")?;
    let mounted = guest.mount_ext4(&disk.path(), PLACE)?;
    let rounds = race(guest, |raced| Ok(raced >= duration && (raced >= PATIENCE || Raced::now()?.is_enough())))?;
    nothing_is_lost(&Counters::settled()?)?;
    let raced = Raced::now()?;
    ensure!(raced.is_enough(), "nothing was raced in {rounds} rounds: {raced:?}");
    let Raced { hits, dropped } = raced;
    guest.tell(marker::NOTE, &json!(format!("{rounds} rounds, {hits} pages out of the store, {dropped} puts dropped")));
    mounted.off(guest)?;
    disk.off()?;
    let mounted = guest.mount_ext4("/dev/vda", PLACE)?;
    for set in [DIRECT, BUFFERED] {
        set.check(guest, &rounds.to_string())?;
    }
    mounted.off(guest)
}

/// What a race must have come to.
#[derive(Debug)]
struct Raced {
    /// Pages out of the store.
    hits: u64,
    /// Puts that would have been stale.
    dropped: u64,
}

impl Raced {
    fn now() -> Result<Self> {
        let counters = Counters::read()?;
        Ok(Self { hits: counters.driver("diskcache_hits")?, dropped: counters.driver("diskcache_stale_puts_dropped")? })
    }

    fn is_enough(&self) -> bool {
        self.hits > 10_000 && self.dropped > 0
    }
}

fn naive(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&STORE)?;
    let disk = guest.cache_disk("vda")?;
    guest.set("/sys/module/dm_tmem/parameters/naive_guard", "1")?;
    let mounted = guest.mount_ext4(&disk.path(), PLACE)?;
    match race(guest, |raced| Ok(raced >= PATIENCE)) {
        Ok(rounds) => anyhow::bail!("nothing stale in {rounds} rounds: the cases would not notice a bad guard"),
        Err(error) => ensure!(error.to_string().contains("bad pages"), "{error:#}"),
    }
    mounted.off(guest)
}

/// Writes both sets over and over while others read them, and checks each of them in between, until `enough` says so of
/// the time it took. Returns how often.
fn race(guest: &Guest, enough: impl Fn(Duration) -> Result<bool>) -> Result<u32> {
    for set in [DIRECT, BUFFERED] {
        set.make(guest)?;
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers =
            [scope.spawn(|| read_all(&stop)), scope.spawn(|| read_all(&stop)), scope.spawn(|| drop_all(&stop))];
        let outcome = write_and_check(guest, enough);
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap_or_else(|_| anyhow::bail!("a reader panicked"))?;
        }
        outcome
    })
}

fn write_and_check(guest: &Guest, enough: impl Fn(Duration) -> Result<bool>) -> Result<u32> {
    let began = Instant::now();
    let mut rounds = 0;
    while !enough(began.elapsed())? {
        let rewritten = rounds.to_string();
        let write = |set: Set| {
            let more = [&["--rewritten", &rewritten], set.more].concat();
            guest.start_load(&set.arguments(set.step, &more))
        };
        let writers = [write(DIRECT)?, write(BUFFERED)?];
        for writer in writers {
            writer.finish()?;
        }
        rounds += 1;
        guest.drop_page_cache()?;
        for set in [DIRECT, BUFFERED] {
            set.check(guest, &rounds.to_string())?;
        }
        guest.tell("round", &json!(rounds));
    }
    Ok(rounds)
}

/// Reads all files, whatever they hold, until told to stop.
fn read_all(stop: &AtomicBool) -> Result<()> {
    let mut buffer = vec![0; 128 << 10];
    while !stop.load(Ordering::Relaxed) {
        for set in [DIRECT, BUFFERED] {
            for entry in fs::read_dir(set.place)? {
                let mut file = File::open(entry?.path())?;
                while !stop.load(Ordering::Relaxed) && file.read(&mut buffer)? > 0 {}
            }
        }
    }
    Ok(())
}

/// Empties the page cache again and again, so that readers have to ask.
fn drop_all(stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        fs::write("/proc/sys/vm/drop_caches", "1")?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
