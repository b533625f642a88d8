//! What a second page cache would be asked for, from what a kernel tells of its own.
//!
//! A stock kernel has no hook for a cache behind its page cache, but it has tracepoints: a page that reclaim drops is one
//! that such a cache would be given, a page that comes in is one that it would be asked for, and one that is dropped
//! otherwise (truncated, unlinked) is one that it would have to forget. `bench/page-cache-events` records them.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};

use anyhow::{Context, Result, bail, ensure};
use tmem::{CodecChoice, EvictionChoice, Form, Key, ObjectId, PoolKind, Status};
use trace::{Content, Header, Operation, Record, Writer};

use crate::PageCacheArguments;

/// The one pool of such a trace.
const POOL: u32 = 1;
/// Largest folio that a line may name: 2^18 pages are 1 GiB.
const ORDER_MAX: u32 = 18;
/// Compression level of the result.
const LEVEL: i32 = 10;

/// One line of the kernel's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Pages came into the page cache.
    Added(Folio),
    /// Pages left it.
    Deleted(Folio),
    /// A task began to reclaim.
    ReclaimBegan,
    /// It is done.
    ReclaimEnded,
}

/// Neighbouring pages of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Folio {
    object: ObjectId,
    first: u32,
    pages: u32,
}

/// Reads a line like
/// `grep-17 [001]  12.345678: mm_filemap_add_to_page_cache: dev 254:0 ino 3c8da pfn=0x5593ed ofs=16384 order=0`:
/// the task, the time in microseconds, and the event if it is one of these.
fn parse(line: &str) -> Option<(u32, u64, Event)> {
    let (task, rest) = line.split_once(" [")?;
    let task = task.trim_end().rsplit_once('-')?.1.parse().ok()?;
    let mut words = rest.split_ascii_whitespace().skip(1).skip_while(|word| !word.ends_with(':'));
    let (seconds, micros) = words.next()?.trim_end_matches(':').split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)?;
    let event = match words.next()?.trim_end_matches(':') {
        "mm_filemap_add_to_page_cache" => Event::Added(folio(words)?),
        "mm_filemap_delete_from_page_cache" => Event::Deleted(folio(words)?),
        "mm_vmscan_memcg_reclaim_begin" | "mm_vmscan_direct_reclaim_begin" => Event::ReclaimBegan,
        "mm_vmscan_memcg_reclaim_end" | "mm_vmscan_direct_reclaim_end" => Event::ReclaimEnded,
        _ => return None,
    };
    Some((task, at_us, event))
}

fn folio<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Folio> {
    let (major, minor) = words.nth(1)?.split_once(':')?;
    let inode = u64::from_str_radix(words.nth(1)?, 16).ok()?;
    let offset: u64 = words.nth(1)?.strip_prefix("ofs=")?.parse().ok()?;
    let order: u32 = words.next().map_or(Some(0), |word| word.strip_prefix("order=")?.parse().ok())?;
    let pages = 1_u32.checked_shl(order).filter(|_| order <= ORDER_MAX)?;
    let first = u32::try_from(offset >> 12).ok()?;
    first.checked_add(pages)?;
    Some(Folio { object: ObjectId([major.parse().ok()?, minor.parse().ok()?, inode]), first, pages })
}

/// Makes a trace of the events, as of a store without a limit: what was put and not flushed is hit.
pub(crate) fn convert(arguments: &PageCacheArguments) -> Result<()> {
    let file = File::open(&arguments.events).with_context(|| format!("cannot open {}", arguments.events.display()))?;
    let lines = BufReader::new(zstd::Decoder::new(file).context("the events are to be compressed by zstd")?).lines();
    let header = Header { limit_bytes: 1 << 40, codec: CodecChoice::default(), eviction: EvictionChoice::default() };
    let out = zstd::Encoder::new(BufWriter::new(File::create(&arguments.trace)?), LEVEL)?;
    let mut guest = Guest { out: Writer::new(out, &header)?, stored: HashSet::new(), names: HashMap::new() };
    let mut reclaiming = HashSet::new();
    let mut began = None;
    let (mut puts, mut gets, mut flushes) = (0_u64, 0_u64, 0_u64);
    for line in lines {
        let line = line.context("the events cannot be read")?;
        ensure!(!line.contains("LOST"), "the kernel lost events: {line}");
        let Some((task, at_us, event)) = parse(&line) else {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            bail!("not a line of the kernel's trace: {line:?}");
        };
        if began.is_none() {
            began = Some(at_us);
            guest.write(0, Operation::Hello)?;
            guest.write(0, Operation::PoolNew { kind: PoolKind::Ephemeral, answer: Ok(POOL) })?;
        }
        let at_us = at_us.saturating_sub(began.unwrap_or(at_us));
        match event {
            Event::ReclaimBegan => drop(reclaiming.insert(task)),
            Event::ReclaimEnded => drop(reclaiming.remove(&task)),
            Event::Added(folio) => {
                gets += u64::from(folio.pages);
                folio.keys().try_for_each(|key| guest.get(at_us, key))?;
            }
            Event::Deleted(folio) if reclaiming.contains(&task) => {
                puts += u64::from(folio.pages);
                folio.keys().try_for_each(|key| guest.put(at_us, key))?;
            }
            Event::Deleted(folio) => {
                flushes += u64::from(folio.pages);
                folio.keys().try_for_each(|key| guest.flush(at_us, key))?;
            }
        }
    }
    guest.out.finish()?.finish()?.flush()?;
    println!("{puts} puts, {gets} gets, {flushes} flushes");
    Ok(())
}

impl Folio {
    fn keys(self) -> impl Iterator<Item = Key> {
        (self.first..self.first + self.pages).map(move |index| Key { pool: POOL, object: self.object, index })
    }
}

/// The guest as the store would see it.
struct Guest<W: Write> {
    out: Writer<W>,
    /// What a store without a limit would hold.
    stored: HashSet<Key>,
    names: HashMap<Key, u64>,
}

impl<W: Write> Guest<W> {
    fn write(&mut self, at_us: u64, operation: Operation) -> Result<()> {
        Ok(self.out.write(&Record::Operation { at_us, operation })?)
    }

    /// The events say nothing of contents: each page gets a number of its own, and a third to a half of a page.
    fn put(&mut self, at_us: u64, key: Key) -> Result<()> {
        let next = self.names.len() as u64;
        let hash = *self.names.entry(key).or_insert(next);
        let bytes = 1365 + u16::try_from(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54)?;
        let content = Some(Content { hash, form: Form::Compressed { bytes } });
        self.stored.insert(key);
        self.write(at_us, Operation::Put { key, content, status: Status::Ok })
    }

    fn get(&mut self, at_us: u64, key: Key) -> Result<()> {
        let status = if self.stored.contains(&key) { Status::Ok } else { Status::Miss };
        self.write(at_us, Operation::Get { key, exclusive: false, status })
    }

    fn flush(&mut self, at_us: u64, key: Key) -> Result<()> {
        self.stored.remove(&key);
        self.write(at_us, Operation::FlushRange { first: key, count: 1, status: Status::Ok })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_kernel_are_read() {
        let folio = Folio { object: ObjectId([254, 0, 0x3c8da]), first: 4, pages: 4 };
        let add = "  cc1 -x-539  [001] ..... 25794.667394: mm_filemap_add_to_page_cache: dev 254:0 ino 3c8da pfn=0x5593ed ofs=16384 order=2";
        assert_eq!(parse(add), Some((539, 25_794_667_394, Event::Added(folio))));
        let begin = "zstd-7 [000] 0.000002: mm_vmscan_memcg_reclaim_begin: order=0 gfp_flags=GFP_KERNEL";
        assert_eq!(parse(begin), Some((7, 2, Event::ReclaimBegan)));
        assert_eq!(parse("CPU:1 [LOST 12 EVENTS]"), None);
        let huge = "x-1 [0] 1.000000: mm_filemap_add_to_page_cache: dev 254:0 ino 1 pfn=0x1 ofs=0 order=40";
        assert_eq!(parse(huge), None);
    }
}
