//! Operations whose cost is not a matter of codec and page set.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use tmem::{BadFrame, Client, ClientConfig, GuestPages, Key, ObjectId, PAGE_SIZE, Page, PoolKind, Status};

use crate::cold;
use crate::contender::SEED;
use crate::results::{Figure, Figures, median};

/// The name under which the results have them.
pub(crate) const SET: &str = "single operations";

/// One operation.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) figure: Figure,
    pub(crate) measure: fn() -> Result<f64>,
}

pub(crate) const ALL: &[Scene] = &[
    Scene { name: "same-filled put over reading the page", figure: Figure::PutNs, measure: same_filled },
    Scene { name: "quota cut of 1 GiB of ephemeral pages", figure: Figure::Ms, measure: quota_cut },
    Scene { name: "flush of an object of 1 M pages", figure: Figure::Ms, measure: object_flush },
    Scene { name: "destroying a pool of 1 M pages", figure: Figure::Ms, measure: pool_destroy },
    Scene {
        name: "CPU of cold ephemeral puts over reading the disk, 4 KiB at a time",
        figure: Figure::Percent,
        measure: || cold::put_over_read(1),
    },
    Scene { name: "the same, 128 KiB at a time", figure: Figure::Percent, measure: || cold::put_over_read(32) },
    Scene { name: "two threads over one, puts", figure: Figure::Times, measure: || two_threads(1) },
    Scene { name: "puts with a store each", figure: Figure::Times, measure: || two_threads(2) },
    Scene { name: "two threads over one, staged puts", figure: Figure::Times, measure: || two_threads_staged(1) },
    Scene { name: "staged puts with a store each", figure: Figure::Times, measure: || two_threads_staged(2) },
];

/// Bytes of a page that does not compress, and so takes a page.
const CUT_BYTES: u64 = 1 << 30;
const MANY_PAGES: u32 = 1 << 20;

pub(crate) fn table(figures: &BTreeMap<String, Figures>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    for scene in ALL {
        let samples = figures.get(scene.name).and_then(|figures| figures.get(&scene.figure));
        let Some(value) = samples.and_then(|samples| median(samples)) else { continue };
        let text = match scene.figure {
            Figure::Ms => format!("{value:.2} ms"),
            Figure::Times => format!("{value:.2} ×"),
            Figure::Percent => format!("{value:.1} %"),
            _ => format!("{value:.0} ns"),
        };
        table.add_row([scene.name.to_owned(), text]);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// A guest whose pages are made of their frame's number.
#[derive(Clone, Copy)]
enum Made {
    /// Bytes that do not compress.
    Noise,
    /// The number, over and over.
    Fill,
    /// Text of a few words, half of it noise.
    Mixed,
}

impl GuestPages for Made {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        let mut state = frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for (at, word) in into.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = match self {
                Self::Fill => (frame % 1000).to_le_bytes(),
                Self::Mixed if at % 2 == 0 => (0x7f00_0000_0000 + at as u64 * 64).to_le_bytes(),
                Self::Noise | Self::Mixed => state.to_le_bytes(),
            };
        }
        Ok(())
    }

    fn write_page(&self, _: u64, _: &Page) -> Result<(), BadFrame> {
        Err(BadFrame)
    }
}

fn client(kind: PoolKind) -> Result<(Client, u32)> {
    client_that_stages(kind, 0)
}

fn client_that_stages(kind: PoolKind, staging_bytes: usize) -> Result<(Client, u32)> {
    let client = Client::new(ClientConfig { staging_bytes, ..ClientConfig::new(1 << 40, SEED) })?;
    let pool = client.pool_new(kind).map_err(|status| anyhow::anyhow!("no pool: {status:?}"))?;
    Ok((client, pool))
}

fn fill(client: &Client, pool: u32, made: Made, pages: u32) -> Result<()> {
    for index in 0..pages {
        let key = Key { pool, object: ObjectId([1; 3]), index };
        let status = client.put(key, u64::from(index), &made);
        ensure!(status == Status::Ok, "the store answered {status:?} to a put");
    }
    Ok(())
}

/// The cost of a put of a same-filled page over that of making the page.
fn same_filled() -> Result<f64> {
    const PAGES: u32 = 20_000;
    let (client, pool) = client(PoolKind::Persistent)?;
    fill(&client, pool, Made::Fill, PAGES)?;
    let start = Instant::now();
    fill(&client, pool, Made::Fill, PAGES)?;
    let put = start.elapsed();
    let mut page = [0; PAGE_SIZE];
    let start = Instant::now();
    for frame in 0..u64::from(PAGES) {
        Made::Fill.read_page(frame, &mut page)?;
        std::hint::black_box(&page);
    }
    Ok((put.as_secs_f64() - start.elapsed().as_secs_f64()) * 1e9 / f64::from(PAGES))
}

/// Until 1 GiB is back at the host.
fn quota_cut() -> Result<f64> {
    let (client, pool) = client(PoolKind::Ephemeral)?;
    let pages = u32::try_from(CUT_BYTES / PAGE_SIZE as u64)? + (64 << 20) / u32::try_from(PAGE_SIZE)?;
    fill(&client, pool, Made::Noise, pages)?;
    let before = client.statistics().resident_bytes;
    let start = Instant::now();
    client.set_limit(before - CUT_BYTES);
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let freed = before - client.statistics().resident_bytes;
    ensure!(freed >= CUT_BYTES, "only {freed} bytes came back");
    Ok(ms)
}

/// What the caller waits.
fn object_flush() -> Result<f64> {
    let (client, pool) = client(PoolKind::Persistent)?;
    fill(&client, pool, Made::Fill, MANY_PAGES)?;
    let start = Instant::now();
    let status = client.flush_object(pool, ObjectId([1; 3]));
    let ms = start.elapsed().as_secs_f64() * 1e3;
    ensure!(status == Status::Ok, "the store answered {status:?} to a flush");
    Ok(ms)
}

/// What the caller waits.
fn pool_destroy() -> Result<f64> {
    let (client, pool) = client(PoolKind::Ephemeral)?;
    fill(&client, pool, Made::Fill, MANY_PAGES)?;
    let start = Instant::now();
    let status = client.pool_destroy(pool);
    let ms = start.elapsed().as_secs_f64() * 1e3;
    ensure!(status == Status::Ok, "the store answered {status:?} to the end of a pool");
    Ok(ms)
}

/// Pages that each thread puts.
const PAGES_A_THREAD: u32 = 20_000;

/// Puts of new pages a second by two threads, in one store or in one each, over those of one.
fn two_threads(stores: usize) -> Result<f64> {
    let stores = (0..stores).map(|_| client(PoolKind::Persistent)).collect::<Result<Vec<_>>>()?;
    Ok(over_one(|thread, turn| put_own(&stores[thread as usize % stores.len()], 2 * turn + thread, &Made::Mixed)))
}

/// The same of pages that replace others in a staging buffer which has room.
fn two_threads_staged(stores: usize) -> Result<f64> {
    let room = 3 * PAGES_A_THREAD as usize * PAGE_SIZE;
    let store = |_| client_that_stages(PoolKind::Persistent, room);
    let stores = (0..stores).map(store).collect::<Result<Vec<_>>>()?;
    let mut page = [0; PAGE_SIZE];
    let _ = Made::Noise.read_page(1, &mut page);
    let guest = Copied(page);
    let times = over_one(|thread, _| put_own(&stores[thread as usize % stores.len()], thread, &guest));
    let staged: u64 = stores.iter().map(|(client, _)| client.statistics().puts_staged).sum();
    // Three turns of the first thread, two of the other.
    ensure!(staged == 5 * u64::from(PAGES_A_THREAD), "only {staged} puts were staged");
    Ok(times)
}

/// A guest that has one page.
struct Copied(Page);

impl GuestPages for Copied {
    fn read_page(&self, _: u64, into: &mut Page) -> Result<(), BadFrame> {
        *into = self.0;
        Ok(())
    }

    fn write_page(&self, _: u64, _: &Page) -> Result<(), BadFrame> {
        Err(BadFrame)
    }
}

/// Puts a thread's pages under the keys of this number.
fn put_own((client, pool): &(Client, u32), keys: u32, guest: &impl GuestPages) {
    for index in 0..PAGES_A_THREAD {
        let key = Key { pool: *pool, object: ObjectId([1; 3]), index: keys << 24 | index };
        client.put(key, u64::from(key.index), guest);
    }
}

/// What two threads get done in a second over what one of them does while the other waits. `puts` is called with the
/// thread and its turn: the first warms up.
fn over_one(puts: impl Fn(u32, u32) + Sync) -> f64 {
    let both_are_here = Barrier::new(2);
    let seconds = |thread, turn| {
        both_are_here.wait();
        let start = Instant::now();
        puts(thread, turn);
        start.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            seconds(0, 0);
            let alone = seconds(0, 1);
            (alone, seconds(0, 2))
        });
        seconds(1, 0);
        // While the first is alone.
        both_are_here.wait();
        let second = seconds(1, 2);
        let (alone, beside) = first.join().expect("puts do not panic");
        2.0 * alone / f64::max(beside, second)
    })
}
