//! Operations whose cost is not a matter of codec and page set.

use std::collections::BTreeMap;
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
    Scene { name: "the same with a store each", figure: Figure::Times, measure: || two_threads(2) },
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
    let client = Client::new(ClientConfig::new(1 << 40, SEED))?;
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

/// Puts a second by two threads, in one pool or in one each, over those of one.
fn two_threads(stores: usize) -> Result<f64> {
    const PAGES: u32 = 20_000;
    let stores = (0..stores).map(|_| client(PoolKind::Persistent)).collect::<Result<Vec<_>>>()?;
    let puts = |thread: u32| {
        let (client, pool) = &stores[thread as usize % stores.len()];
        for index in 0..PAGES {
            let key = Key { pool: *pool, object: ObjectId([1; 3]), index: thread << 24 | index };
            client.put(key, u64::from(key.index), &Made::Mixed);
        }
    };
    puts(0);
    puts(1);
    let start = Instant::now();
    puts(2);
    let one = start.elapsed().as_secs_f64();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| puts(4));
        scope.spawn(|| puts(5));
    });
    Ok(2.0 * one / start.elapsed().as_secs_f64())
}
