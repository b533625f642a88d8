//! What is measured: ours, the kernel's, and codecs alone.

mod codecs;
mod copy;
mod store;
mod zram;

use std::time::{Duration, Instant};

use anyhow::Result;
use tmem::CodecChoice;

pub(crate) use store::SEED;

use crate::pages::PageSet;
use crate::results::Figure;

/// One round's figures.
pub(crate) type Round = Vec<(Figure, f64)>;

/// Something that stores pages and loads them again.
pub(crate) trait Contender {
    /// Its name in the table.
    fn name(&self) -> String;

    /// Stores every page, loads every page, and checks each. An error ends the bench.
    fn round(&mut self, set: &PageSet) -> Result<Round>;
}

/// Everything that can be measured here, and what cannot with the reason.
pub(crate) fn all() -> (Vec<Box<dyn Contender>>, Vec<String>) {
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(copy::Copy)];
    contenders.extend(codecs::all());
    for codec in [CodecChoice::Lz4, CodecChoice::PageLz, CodecChoice::Zstd] {
        contenders.push(Box::new(store::Store::new(codec, store::Way::Inline)));
    }
    for way in [store::Way::Cold, store::Way::Staged, store::Way::StagedAlone, store::Way::Sustained] {
        contenders.push(Box::new(store::Store::new(CodecChoice::default(), way)));
    }
    let mut missing = Vec::new();
    for algorithm in ["lz4", "lzo-rle"] {
        match zram::Zram::new(algorithm) {
            Ok(zram) => contenders.push(Box::new(zram)),
            Err(error) => missing.push(format!("zram {algorithm}: {error:#}")),
        }
    }
    (contenders, missing)
}

/// Nanoseconds for each of `pages`.
#[expect(clippy::cast_precision_loss, reason = "a mean of times needs no 53 bits")]
pub(crate) fn ns_per_page(elapsed: Duration, pages: usize) -> f64 {
    elapsed.as_nanos() as f64 / pages as f64
}

/// A part of each of `pages`.
#[expect(clippy::cast_precision_loss, reason = "bytes of one set")]
pub(crate) fn per_page(bytes: u64, pages: usize) -> f64 {
    bytes as f64 / pages as f64
}

/// Times of single operations, of one in sixteen: to look at the clock costs as much as some of them.
#[derive(Default)]
pub(crate) struct Latencies {
    times: Vec<Duration>,
    operations: usize,
}

impl Latencies {
    pub(crate) fn time<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        self.operations += 1;
        if !self.operations.is_multiple_of(16) {
            return operation();
        }
        let start = Instant::now();
        let result = operation();
        self.times.push(start.elapsed());
        result
    }

    /// What all but one in a hundred stay below.
    pub(crate) fn p99_ns(mut self) -> f64 {
        self.times.sort_unstable();
        let at = self.times.len().saturating_sub(1) * 99 / 100;
        self.times.get(at).map_or(0.0, |time| ns_per_page(*time, 1))
    }
}
