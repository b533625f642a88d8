//! Which page goes? Eviction policies, page by page, on traces of real guests.
//!
//! This is a model: it counts hits, in caches of so many pages, and knows no bytes, locks or leaves. What the store makes
//! of a policy is seen by `replay`.

mod clock;
mod leaf_clock;
mod list;
mod lru;
mod s3_fifo;
mod sieve;
mod used_first;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use tmem::Key;
use trace::{Operation, Record};

use crate::PoliciesArguments;

use leaf_clock::LeafClock;

/// A page by its place in the trace's list of pages.
type Page = usize;

/// A cache that holds a bounded number of pages.
trait Cache {
    /// Whether the page is here; notes that it was asked for.
    fn get(&mut self, page: Page) -> bool;
    /// Takes a page in, which may be here already; others make room.
    fn put(&mut self, page: Page);
    /// Forgets a page. `hit`: because a get took it out, and not because it is void.
    fn remove(&mut self, page: Page, hit: bool);
}

/// What is asked of a cache.
enum Step {
    Put(Page),
    Get(Page),
    Flush(Page),
}

/// A trace in short: the pages' leaves, and what is done to them.
struct Load {
    leaves: Vec<usize>,
    steps: Vec<Step>,
}

type Make = fn(usize, &[usize]) -> Box<dyn Cache>;

const POLICIES: [(&str, Make); 10] = [
    ("fifo", |pages, leaves| Box::new(clock::Clock::new(pages, leaves.len(), 0))),
    ("lru", |pages, leaves| Box::new(lru::Lru::new(pages, leaves.len()))),
    ("second chance", |pages, leaves| Box::new(clock::Clock::new(pages, leaves.len(), 3))),
    ("sieve", |pages, leaves| Box::new(sieve::Sieve::new(pages, leaves.len()))),
    ("s3-fifo, one hit", |pages, leaves| Box::new(s3_fifo::S3Fifo::new(pages, leaves.len(), 1))),
    ("s3-fifo, two hits", |pages, leaves| Box::new(s3_fifo::S3Fifo::new(pages, leaves.len(), 2))),
    ("used first", |pages, leaves| Box::new(used_first::UsedFirst::new(pages, leaves.len()))),
    ("by leaves: fifo", |pages, leaves| Box::new(LeafClock::new(pages, leaves, leaf_clock::FIFO))),
    ("by leaves: second chance", |pages, leaves| Box::new(LeafClock::new(pages, leaves, leaf_clock::SECOND_CHANCE))),
    ("by leaves: used first", |pages, leaves| Box::new(LeafClock::new(pages, leaves, leaf_clock::USED_FIRST))),
];

pub(crate) fn run(arguments: &PoliciesArguments) -> Result<()> {
    for path in &arguments.traces {
        let load = read(path)?;
        let gets = load.steps.iter().filter(|step| matches!(step, Step::Get(_))).count();
        let unlimited = |take| hits(&load, &mut *POLICIES[0].1(usize::MAX, &load.leaves), take);
        println!(
            "\n{}: {} operations on {} pages, {gets} gets; without a limit {:.3} of them hit",
            path.display(),
            load.steps.len(),
            load.leaves.len(),
            ratio(unlimited(false), gets),
        );
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        let modes = [("keep", false), ("take", true)];
        let columns =
            modes.iter().flat_map(|(mode, _)| arguments.pages.iter().map(move |pages| format!("{pages} {mode}")));
        table.set_header(std::iter::once("policy".to_owned()).chain(columns));
        for (name, make) in POLICIES {
            let cells = modes.iter().flat_map(|(_, take)| arguments.pages.iter().map(move |pages| (*pages, *take)));
            let cells = cells
                .map(|(pages, take)| format!("{:.3}", ratio(hits(&load, &mut *make(pages, &load.leaves), take), gets)));
            table.add_row(std::iter::once(name.to_owned()).chain(cells));
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        println!("{table}");
    }
    Ok(())
}

fn read(path: &Path) -> Result<Load> {
    let mut pages: HashMap<Key, Page> = HashMap::new();
    let mut leaf_numbers = HashMap::new();
    let mut load = Load { leaves: Vec::new(), steps: Vec::new() };
    for record in trace::open(path).with_context(|| path.display().to_string())? {
        let record = record.with_context(|| path.display().to_string())?;
        let Record::Operation { operation, .. } = record else { continue };
        let mut page = |key: Key| {
            let next = pages.len();
            *pages.entry(key).or_insert_with(|| {
                let leaf = leaf_numbers.len();
                load.leaves.push(*leaf_numbers.entry((key.pool, key.object, key.index / 512)).or_insert(leaf));
                next
            })
        };
        match operation {
            Operation::Put { key, .. } => load.steps.push(Step::Put(page(key))),
            Operation::Get { key, .. } => load.steps.push(Step::Get(page(key))),
            Operation::FlushRange { first, count: 1, .. } => load.steps.push(Step::Flush(page(first))),
            _ => {}
        }
    }
    Ok(load)
}

/// Hits of a load. `take`: a page that is hit leaves the cache, as an exclusive get asks.
fn hits(load: &Load, cache: &mut dyn Cache, take: bool) -> usize {
    let mut hits = 0;
    for step in &load.steps {
        match *step {
            Step::Put(page) => cache.put(page),
            Step::Flush(page) => cache.remove(page, false),
            Step::Get(page) => {
                if cache.get(page) {
                    hits += 1;
                    if take {
                        cache.remove(page, true);
                    }
                }
            }
        }
    }
    hits
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
