//! LZ4 blocks.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into};

use crate::index::Tier;
use crate::key::{PAGE_SIZE, Page};

use super::{Codec, Corrupt, PaddedPage};

/// LZ4, with its hash table kept between pages.
#[derive(Default)]
pub(super) struct Lz4 {
    table: CompressTable,
}

impl Codec for Lz4 {
    const TIER: Tier = Tier::Lz4;

    fn compress(&mut self, page: &PaddedPage, into: &mut [u8]) -> Option<usize> {
        compress_into_with_table(page.as_slice(), into, &mut self.table).ok()
    }

    fn decompress<'a>(&'a mut self, packed: &[u8], into: &'a mut Page) -> Result<&'a Page, Corrupt> {
        match decompress_into(packed, into) {
            Ok(PAGE_SIZE) => Ok(into),
            _ => Err(Corrupt),
        }
    }
}
