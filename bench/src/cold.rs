//! What a first read of a file costs the host more where its pages are put: the CPU of ephemeral puts, against the time
//! that the disk takes.

use std::env;
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::io::pread;
use tmem::{BadFrame, Client, ClientConfig, GuestPages, Key, ObjectId, PAGE_SIZE, Page, PoolKind, Status};

use crate::contender::SEED;
use crate::machine::cpu_ns;
use crate::pages::PageSet;

/// Pages of a round: as many as the staging buffer of `vm.toml` has by default.
const PAGES: usize = 2048;
/// So that reads of single pages jump about; it has no divisor in common with `PAGES`.
const JUMP: usize = 769;

/// CPU time of ephemeral puts of pages that were never put, what is done in the background included, in percent of the
/// time that the disk takes to read the pages in requests of `request_pages`. They are pages of this program.
pub(crate) fn put_over_read(request_pages: usize) -> Result<f64> {
    let path = env::current_exe()?;
    let file = rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("{} cannot be read past the page cache", path.display()))?;
    let mut set = PageSet::new("cold".to_owned(), &vec![0; PAGES * PAGE_SIZE], PAGES);
    let read_ns = read(&file, &mut set, request_pages)?;
    Ok(put(&set)? * 100.0 / read_ns)
}

/// Reads the set from the file. Nanoseconds.
fn read(file: &OwnedFd, set: &mut PageSet, request_pages: usize) -> Result<f64> {
    let requests = PAGES / request_pages;
    let bytes = request_pages * PAGE_SIZE;
    let start = Instant::now();
    for number in 0..requests {
        let at = number * JUMP % requests * bytes;
        let got =
            pread(file, &mut set.bytes_mut()[at..at + bytes], at as u64).context("reading this program's file")?;
        ensure!(got == bytes, "this program's file ends after {} bytes", at + got);
    }
    Ok(start.elapsed().as_secs_f64() * 1e9)
}

/// Puts the set into a new store. Nanoseconds of CPU.
#[expect(clippy::cast_precision_loss, reason = "a few milliseconds")]
fn put(set: &PageSet) -> Result<f64> {
    let config = ClientConfig { staging_bytes: PAGES * PAGE_SIZE, ..ClientConfig::new(1 << 40, SEED) };
    let client = Client::new(config)?;
    let pool = client.pool_new(PoolKind::Ephemeral).map_err(|status| anyhow::anyhow!("no pool: {status:?}"))?;
    let memory = Frames(set.pages());
    let before = cpu_ns();
    for index in 0..u32::try_from(PAGES)? {
        let status = client.put(Key { pool, object: ObjectId([1; 3]), index }, index.into(), &memory);
        ensure!(status == Status::Ok, "the store answered {status:?} to a put");
    }
    client.compress_staged(u64::MAX, || true);
    let spent = cpu_ns() - before;
    ensure!(client.staging_fill().0 == 0, "pages are still staged");
    Ok(spent as f64)
}

/// A guest's memory that is only read.
struct Frames<'a>(&'a [Page]);

impl GuestPages for Frames<'_> {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        let frame = usize::try_from(frame).map_err(|_| BadFrame)?;
        *into = *self.0.get(frame).ok_or(BadFrame)?;
        Ok(())
    }

    fn write_page(&self, _: u64, _: &Page) -> Result<(), BadFrame> {
        Err(BadFrame)
    }
}
