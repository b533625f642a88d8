//! Zstandard frames.

use zstd::bulk::{Compressor, Decompressor};

use crate::index::Tier;
use crate::key::{PAGE_SIZE, Page};

use super::{Codec, Corrupt, PaddedPage};

/// Level of compression. Higher ones gain next to nothing on 4 KiB.
const LEVEL: i32 = 1;

/// Zstandard. Its contexts are large, so each is made when first needed.
#[derive(Default)]
pub(super) struct Zstd {
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
}

impl Codec for Zstd {
    const TIER: Tier = Tier::Zstd;

    fn compress(&mut self, page: &PaddedPage, into: &mut [u8]) -> Option<usize> {
        if self.compressor.is_none() {
            self.compressor = Compressor::new(LEVEL).ok();
        }
        self.compressor.as_mut()?.compress_to_buffer(page.as_slice(), into).ok()
    }

    fn decompress<'a>(&'a mut self, packed: &[u8], into: &'a mut Page) -> Result<&'a Page, Corrupt> {
        if self.decompressor.is_none() {
            self.decompressor = Decompressor::new().ok();
        }
        let decompressor = self.decompressor.as_mut().ok_or(Corrupt)?;
        match decompressor.decompress_to_buffer(packed, into.as_mut_slice()) {
            Ok(PAGE_SIZE) => Ok(into),
            _ => Err(Corrupt),
        }
    }
}
