//! The store: key lookup, account and allocator included, one thread.

use std::cell::RefCell;
use std::time::Instant;

use anyhow::{Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use tmem::{BadFrame, Client, ClientConfig, CodecChoice, GuestPages, Key, ObjectId, Page, PoolKind, Status};

use super::{Contender, Latencies, Round, ns_per_page, per_page};
use crate::pages::PageSet;
use crate::results::Figure;

/// More than any set.
const LIMIT_BYTES: u64 = 1 << 40;
/// The hash's key; a bench is to be repeatable.
pub(crate) const SEED: [u64; 2] = [0x7465_6d6d, 0x6265_6e63];

pub(super) struct Store {
    codec: CodecChoice,
    /// Whether all pages are left to get cold before they are loaded.
    cold: bool,
}

/// Passes of the recompressor after which everything is recompressed, and what is left has moved together.
const PASSES: u32 = 6;

impl Store {
    pub(super) fn new(codec: CodecChoice) -> Self {
        Self { codec, cold: false }
    }

    pub(super) fn cold(codec: CodecChoice) -> Self {
        Self { codec, cold: true }
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
        *into = self.pages[self.page(frame)?];
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
        format!("tmem {codec}{}", if self.cold { ", cold" } else { "" })
    }

    fn round(&mut self, set: &PageSet) -> Result<Round> {
        let client = Client::new(ClientConfig { codec: self.codec, ..ClientConfig::new(LIMIT_BYTES, SEED) })?;
        let pool = client.pool_new(PoolKind::Persistent).map_err(|status| anyhow::anyhow!("no pool: {status:?}"))?;
        let memory = Memory::new(set);
        let count = u32::try_from(set.pages().len())?;
        let pages = set.pages().len();

        let (mut put, mut get) = (Latencies::default(), Latencies::default());
        let cpu = cpu_ns();
        let start = Instant::now();
        for index in 0..count {
            let status = put.time(|| client.put(key(pool, index), u64::from(index), &memory));
            ensure!(status == Status::Ok, "the store answered {status:?} to a put");
        }
        let put_ns = ns_per_page(start.elapsed(), pages);
        let put_cpu_ns = per_page(cpu_ns() - cpu, pages);
        if self.cold {
            for _ in 0..PASSES {
                client.recompress(|| true);
            }
        }
        let held = client.statistics();

        let start = Instant::now();
        for index in 0..count {
            let status = get.time(|| client.get(key(pool, index), u64::from(index), false, &memory));
            ensure!(status == Status::Ok, "the store answered {status:?} to a get");
        }
        let get_ns = ns_per_page(start.elapsed(), pages);
        ensure!(memory.sink.borrow().bytes() == set.bytes(), "the store gave other bytes back");
        Ok(vec![
            (Figure::PutNs, put_ns),
            (Figure::PutP99Ns, put.p99_ns()),
            (Figure::PutCpuNs, put_cpu_ns),
            (Figure::GetNs, get_ns),
            (Figure::GetP99Ns, get.p99_ns()),
            (Figure::BytesPerPage, per_page(held.resident_bytes, pages)),
            (Figure::MetadataBytesPerPage, per_page(held.metadata_bytes, pages)),
        ])
    }
}

/// CPU time of this process so far, all threads.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
