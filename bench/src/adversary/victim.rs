//! An ordinary guest: it swaps pages of programs out and in.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tmem::{BadFrame, Client, ClientConfig, GuestPages, Key, ObjectId, PAGE_SIZE, Page, PoolKind, Statistics, Status};

use crate::contender::SEED;

/// Pages of its swap area.
const PAGES: u32 = 20_000;

pub(super) struct Victim {
    client: Client,
    pool: u32,
    /// What was put last under each index; 0 is nothing.
    versions: Vec<u64>,
    state: u64,
    version: u64,
}

/// How long each put and get took.
#[derive(Default)]
pub(super) struct Times {
    puts: Vec<Duration>,
    gets: Vec<Duration>,
}

impl Times {
    /// What [`figures`](Self::figures) gives.
    pub(super) const FIGURES: [&str; 4] = ["put p50", "put p99", "get p50", "get p99"];

    /// Nanoseconds.
    pub(super) fn figures(mut self) -> [f64; 4] {
        let [put50, put99] = percentiles(&mut self.puts);
        let [get50, get99] = percentiles(&mut self.gets);
        [put50, put99, get50, get99]
    }
}

fn percentiles(times: &mut [Duration]) -> [f64; 2] {
    times.sort_unstable();
    [50, 99].map(|percent| {
        let at = times.len().saturating_sub(1) * percent / 100;
        times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e9)
    })
}

/// One page of memory.
struct Memory(RefCell<Page>);

impl GuestPages for Memory {
    fn read_page(&self, _: u64, into: &mut Page) -> Result<(), BadFrame> {
        *into = *self.0.borrow();
        Ok(())
    }

    fn write_page(&self, _: u64, from: &Page) -> Result<(), BadFrame> {
        *self.0.borrow_mut() = *from;
        Ok(())
    }
}

/// A page that tells its version: half of it is one program's pointers, half is noise.
fn page(version: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    let mut state = version.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for (at, word) in page.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        state = next(state);
        *word = if at % 2 == 0 { 0x7f00_0000_0000 + at as u64 * 64 } else { state }.to_le_bytes();
    }
    page
}

/// The next of a sequence without pattern (xorshift, Marsaglia 2003).
pub(super) fn next(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ state << 17
}

impl Victim {
    /// A guest with all its pages put.
    pub(super) fn new() -> Result<Self> {
        let client = Client::new(ClientConfig::new(1 << 30, SEED))?;
        let pool = client.pool_new(PoolKind::Persistent).map_err(|status| anyhow::anyhow!("no pool: {status:?}"))?;
        let mut victim = Self { client, pool, versions: vec![0; PAGES as usize], state: 1, version: 0 };
        for index in 0..PAGES {
            victim.put(index)?;
        }
        Ok(victim)
    }

    /// Puts and gets pages until the time is over.
    pub(super) fn run(&mut self, time: Duration) -> Result<Times> {
        let mut times = Times::default();
        let end = Instant::now() + time;
        while Instant::now() < end {
            let index = self.any_index()?;
            times.puts.push(self.put(index)?);
            let index = self.any_index()?;
            times.gets.push(self.get(index)?);
        }
        Ok(times)
    }

    /// Compares every page that was accepted.
    pub(super) fn check(&self) -> Result<()> {
        (0..PAGES).try_for_each(|index| self.get(index).map(drop))
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.client.statistics()
    }

    fn put(&mut self, index: u32) -> Result<Duration> {
        self.version += 1;
        let memory = Memory(RefCell::new(page(self.version)));
        let start = Instant::now();
        let status = self.client.put(self.key(index), 0, &memory);
        let took = start.elapsed();
        ensure!(status == Status::Ok, "the store answered {status:?} to a put of the ordinary guest");
        self.versions[index as usize] = self.version;
        Ok(took)
    }

    fn get(&self, index: u32) -> Result<Duration> {
        let memory = Memory(RefCell::new([0; PAGE_SIZE]));
        let start = Instant::now();
        let status = self.client.get(self.key(index), 0, false, &memory);
        let took = start.elapsed();
        ensure!(status == Status::Ok, "a page of the ordinary guest is lost: {status:?}");
        ensure!(
            memory.0.into_inner() == page(self.versions[index as usize]),
            "a page of the ordinary guest has changed"
        );
        Ok(took)
    }

    fn any_index(&mut self) -> Result<u32> {
        self.state = next(self.state);
        Ok(u32::try_from(self.state % u64::from(PAGES))?)
    }

    fn key(&self, index: u32) -> Key {
        Key { pool: self.pool, object: ObjectId([1; 3]), index }
    }
}
