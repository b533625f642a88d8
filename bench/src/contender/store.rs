//! The store: key lookup, account and allocator included, one thread.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tmem::{BadFrame, Client, ClientConfig, CodecChoice, GuestPages, Key, ObjectId, Page, PoolKind, Status};

use super::{Contender, Latencies, Round, ns_per_page, per_page};
use crate::machine::cpu_ns;
use crate::pages::PageSet;
use crate::results::Figure;

/// More than any set.
const LIMIT_BYTES: u64 = 1 << 40;
/// The hash's key; a bench is to be repeatable.
pub(crate) const SEED: [u64; 2] = [0x7465_6d6d, 0x6265_6e63];

pub(super) struct Store {
    codec: CodecChoice,
    way: Way,
}

/// What happens to the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Compressed within each put.
    Inline,
    /// The same, and left to get cold before they are loaded.
    Cold,
    /// Put into a buffer that has room, loaded from there, and compressed then, burst by burst.
    Staged,
    /// The same without looking for equal pages.
    StagedAlone,
    /// Put as fast as can be into a buffer that a thread empties meanwhile.
    Sustained,
}

/// Passes of the recompressor after which everything is recompressed, and what is left has moved together.
const PASSES: u32 = 6;
/// The buffer that `vm.toml` has by default, and so the largest burst.
const STAGING_PAGES: u32 = 2048;

impl Store {
    pub(super) fn new(codec: CodecChoice, way: Way) -> Self {
        Self { codec, way }
    }
}

/// A guest whose memory is a page set: puts read it, gets write the sink.
struct Memory<'a> {
    pages: &'a [Page],
    sink: RefCell<PageSet>,
}

impl<'a> Memory<'a> {
    fn new(set: &'a PageSet) -> Self {
        Self { pages: set.pages(), sink: RefCell::new(set.sink()) }
    }

    fn page(&self, frame: u64) -> Result<usize, BadFrame> {
        usize::try_from(frame).ok().filter(|page| *page < self.pages.len()).ok_or(BadFrame)
    }
}

impl GuestPages for Memory<'_> {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        let page = &self.pages[self.page(frame)?];
        // SAFETY: a page is valid for reads of a page.
        unsafe { tmem::copy_page(page.as_ptr(), into) };
        Ok(())
    }

    fn expect_write(&self, frame: u64) {
        if let Ok(page) = self.page(frame) {
            tmem::prefetch(self.sink.borrow().pages()[page].as_ptr());
        }
    }

    fn write_page(&self, frame: u64, from: &Page) -> Result<(), BadFrame> {
        let page = self.page(frame)?;
        self.sink.borrow_mut().bytes_mut().as_chunks_mut().0[page] = *from;
        Ok(())
    }
}

/// The key of a swap area's page.
fn key(pool: u32, index: u32) -> Key {
    Key { pool, object: ObjectId([0; 3]), index }
}

impl Contender for Store {
    fn name(&self) -> String {
        let codec = match self.codec {
            CodecChoice::Lz4 => "lz4",
            CodecChoice::Zstd => "zstd",
            CodecChoice::PageLz => "page-lz",
        };
        let way = match self.way {
            Way::Inline => "",
            Way::Cold => ", cold",
            Way::Staged => ", staged",
            Way::StagedAlone => ", staged, no dedup",
            Way::Sustained => ", staged by 2 threads",
        };
        format!("tmem {codec}{way}")
    }

    fn round(&mut self, set: &PageSet) -> Result<Round> {
        let staging_bytes = match self.way {
            Way::Inline | Way::Cold => 0,
            Way::Staged | Way::StagedAlone | Way::Sustained => STAGING_PAGES as usize * tmem::PAGE_SIZE,
        };
        let deduplicates = self.way != Way::StagedAlone;
        let config =
            ClientConfig { codec: self.codec, staging_bytes, deduplicates, ..ClientConfig::new(LIMIT_BYTES, SEED) };
        let client = Client::new(config)?;
        let pool = client.pool_new(PoolKind::Persistent).map_err(|status| anyhow::anyhow!("no pool: {status:?}"))?;
        let guest = Guest { client: &client, pool, memory: Memory::new(set) };
        let pages = u32::try_from(set.pages().len())?;

        let mut times = Times::default();
        let cpu = cpu_ns();
        let put_cpu;
        match self.way {
            Way::Inline | Way::Cold => {
                guest.put(0..pages, &mut times)?;
                put_cpu = cpu_ns() - cpu;
                if self.way == Way::Cold {
                    for _ in 0..PASSES {
                        client.recompress(|| true);
                    }
                }
                guest.get(0..pages, &mut times)?;
            }
            Way::Staged | Way::StagedAlone => {
                let mut spent = 0;
                for first in (0..pages).step_by(STAGING_PAGES as usize) {
                    let burst = first..pages.min(first + STAGING_PAGES);
                    let cpu = cpu_ns();
                    guest.put(burst.clone(), &mut times)?;
                    spent += cpu_ns() - cpu;
                    guest.get(burst, &mut times)?;
                    let cpu = cpu_ns();
                    // A loaded page waits a round.
                    while client.staging_fill().0 > 0 {
                        client.compress_staged(u64::MAX, || true);
                    }
                    spent += cpu_ns() - cpu;
                }
                put_cpu = spent;
            }
            Way::Sustained => {
                let over = AtomicBool::new(false);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        while !over.load(Ordering::Relaxed) {
                            if client.compress_staged(u64::MAX, || true) == 0 {
                                thread::yield_now();
                            }
                        }
                    });
                    let put = guest.put(0..pages, &mut times);
                    over.store(true, Ordering::Relaxed);
                    put
                })?;
                client.compress_staged(u64::MAX, || true);
                put_cpu = cpu_ns() - cpu;
                guest.get(0..pages, &mut times)?;
            }
        }
        client.reclaim(u64::MAX);
        let held = client.statistics();
        guest.check(pages, set)?;
        let pages = set.pages().len();
        Ok(vec![
            (Figure::PutNs, ns_per_page(times.put, pages)),
            (Figure::PutP99Ns, times.puts.p99_ns()),
            (Figure::PutCpuNs, per_page(put_cpu, pages)),
            (Figure::GetNs, ns_per_page(times.get, pages)),
            (Figure::GetP99Ns, times.gets.p99_ns()),
            (Figure::BytesPerPage, per_page(held.resident_bytes, pages)),
            (Figure::MetadataBytesPerPage, per_page(held.metadata_bytes, pages)),
        ])
    }
}

/// What the calls took.
#[derive(Default)]
struct Times {
    put: Duration,
    get: Duration,
    puts: Latencies,
    gets: Latencies,
}

/// Who calls.
struct Guest<'a> {
    client: &'a Client,
    pool: u32,
    memory: Memory<'a>,
}

impl Guest<'_> {
    fn put(&self, pages: Range<u32>, times: &mut Times) -> Result<()> {
        let start = Instant::now();
        for index in pages {
            let put = || self.client.put(key(self.pool, index), u64::from(index), &self.memory);
            let status = times.puts.time(put);
            ensure!(status == Status::Ok, "the store answered {status:?} to a put");
        }
        times.put += start.elapsed();
        Ok(())
    }

    fn get(&self, pages: Range<u32>, times: &mut Times) -> Result<()> {
        let start = Instant::now();
        for index in pages {
            let get = || self.client.get(key(self.pool, index), u64::from(index), false, &self.memory);
            let status = times.gets.time(get);
            ensure!(status == Status::Ok, "the store answered {status:?} to a get");
        }
        times.get += start.elapsed();
        Ok(())
    }

    /// Whether every page is as it was, in what was loaded so far and in the store.
    fn check(&self, pages: u32, set: &PageSet) -> Result<()> {
        let is_equal = || self.memory.sink.borrow().bytes() == set.bytes();
        ensure!(is_equal(), "the store gave other bytes back");
        self.memory.sink.borrow_mut().bytes_mut().fill(0);
        self.get(0..pages, &mut Times::default())?;
        ensure!(is_equal(), "the store gave other bytes back later");
        Ok(())
    }
}
