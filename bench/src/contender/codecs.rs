//! Codecs alone: no index, no allocator, no account. What one makes larger than a page counts as a page.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tmem::{PAGE_SIZE, Page};

use super::{Contender, Round, ns_per_page, per_page};
use crate::pages::PageSet;
use crate::results::Figure;

/// Room for the worst that a codec makes of a page.
const ROOM: usize = 2 * PAGE_SIZE;

/// Compresses single pages.
trait Codec {
    const NAME: &'static str;

    fn compress(&mut self, page: &Page, into: &mut [u8]) -> Result<usize>;
    fn decompress(&mut self, packed: &[u8], into: &mut Page) -> Result<()>;
}

pub(super) fn all() -> Vec<Box<dyn Contender>> {
    let (minus_one, one, three) = (Zstd::<-1>::new(), Zstd::<1>::new(), Zstd::<3>::new());
    vec![
        Box::new(Bare(Lz4Flex::default())),
        Box::new(Bare(Lz4C)),
        Box::new(Bare(minus_one)),
        Box::new(Bare(one)),
        Box::new(Bare(three)),
    ]
}

struct Bare<C>(C);

impl<C: Codec> Contender for Bare<C> {
    fn name(&self) -> String {
        format!("bare {}", C::NAME)
    }

    fn round(&mut self, set: &PageSet) -> Result<Round> {
        let pages = set.pages();
        let mut packed = vec![0; ROOM];
        let mut kept = Vec::with_capacity(pages.len());
        let mut put = Duration::ZERO;
        let mut bytes = 0;
        for page in pages {
            let start = Instant::now();
            let len = self.0.compress(black_box(page), &mut packed)?;
            put += start.elapsed();
            bytes += len.min(PAGE_SIZE) as u64;
            kept.push(packed[..len].to_vec());
        }
        let mut get = Duration::ZERO;
        let mut back = [0; PAGE_SIZE];
        for (page, packed) in pages.iter().zip(&kept) {
            let start = Instant::now();
            self.0.decompress(black_box(packed), &mut back)?;
            get += start.elapsed();
            ensure!(back == *page, "{} gave another page back", C::NAME);
        }
        Ok(vec![
            (Figure::PutNs, ns_per_page(put, pages.len())),
            (Figure::GetNs, ns_per_page(get, pages.len())),
            (Figure::BytesPerPage, per_page(bytes, pages.len())),
        ])
    }
}

#[derive(Default)]
struct Lz4Flex {
    table: lz4_flex::block::CompressTable,
}

impl Codec for Lz4Flex {
    const NAME: &'static str = "lz4_flex";

    fn compress(&mut self, page: &Page, into: &mut [u8]) -> Result<usize> {
        Ok(lz4_flex::block::compress_into_with_table(page, into, &mut self.table)?)
    }

    fn decompress(&mut self, packed: &[u8], into: &mut Page) -> Result<()> {
        lz4_flex::block::decompress_into(packed, into)?;
        Ok(())
    }
}

/// The C library.
struct Lz4C;

impl Codec for Lz4C {
    const NAME: &'static str = "lz4 (C)";

    fn compress(&mut self, page: &Page, into: &mut [u8]) -> Result<usize> {
        Ok(lz4::block::compress_to_buffer(page, None, false, into)?)
    }

    fn decompress(&mut self, packed: &[u8], into: &mut Page) -> Result<()> {
        let len = i32::try_from(PAGE_SIZE)?;
        lz4::block::decompress_to_buffer(packed, Some(len), into)?;
        Ok(())
    }
}

struct Zstd<const LEVEL: i32> {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
}

impl<const LEVEL: i32> Zstd<LEVEL> {
    fn new() -> Self {
        Self { compressor: zstd::bulk::Compressor::new(LEVEL).ok(), decompressor: zstd::bulk::Decompressor::new().ok() }
    }
}

impl<const LEVEL: i32> Codec for Zstd<LEVEL> {
    const NAME: &'static str = match LEVEL {
        -1 => "zstd -1",
        1 => "zstd 1",
        _ => "zstd 3",
    };

    fn compress(&mut self, page: &Page, into: &mut [u8]) -> Result<usize> {
        let compressor = self.compressor.as_mut().context("no memory for zstd")?;
        Ok(compressor.compress_to_buffer(page, into)?)
    }

    fn decompress(&mut self, packed: &[u8], into: &mut Page) -> Result<()> {
        let decompressor = self.decompressor.as_mut().context("no memory for zstd")?;
        decompressor.decompress_to_buffer(packed, into.as_mut_slice())?;
        Ok(())
    }
}
