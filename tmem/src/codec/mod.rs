//! From a page to the bytes that are stored, and back.
//!
//! A codec is one module, a tier and a choice; what a page was stored with is recorded with it.

mod fill;
mod form;
mod lz4;
mod padded;
mod page_lz;
mod scratch;
mod zstd;

use crate::config::CodecChoice;
use crate::index::{Entry, Tier};
use crate::key::{PAGE_SIZE, Page};

pub use form::Form;
use lz4::Lz4;
use padded::PaddedPage;
use page_lz::PageLz;
pub(crate) use scratch::with_scratch;
use zstd::Zstd;

/// A page is stored raw unless compression saves a sixteenth of it: below that, every load would pay for nothing.
const WORTH_COMPRESSING: usize = PAGE_SIZE - PAGE_SIZE / 16;
/// Room for the worst that a codec makes of a page.
const PACKED_BYTES: usize = PAGE_SIZE + PAGE_SIZE / 8;

/// What was stored is not what a codec wrote: a fault of this program or of the machine's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes are not a page")]
pub(crate) struct Corrupt;

/// Compresses single pages.
trait Codec {
    /// The tier that its output is recorded as.
    const TIER: Tier;

    /// Compresses `page` to the start of `into` and returns the bytes used; `None` where they do not suffice.
    fn compress(&mut self, page: &PaddedPage, into: &mut [u8]) -> Option<usize>;

    /// Makes a whole page of what [`compress`](Self::compress) wrote: in `into` or in a buffer of the codec's own. On
    /// an error `into` holds anything.
    fn decompress<'a>(&'a mut self, packed: &[u8], into: &'a mut Page) -> Result<&'a Page, Corrupt>;
}

/// The state of every codec, of one thread.
#[derive(Default)]
struct Codecs {
    lz4: Lz4,
    zstd: Zstd,
    page_lz: PageLz,
}

/// What is to be stored of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packed<'a> {
    /// One word, repeated, that fits into the index.
    Fill(u64),
    /// Bytes for the arena.
    Stored(Tier, &'a [u8]),
}

/// The word that `page` repeats, if it needs nothing but its entry.
pub(crate) fn in_entry(page: &Page) -> Option<u64> {
    fill::repeated_word(page).filter(|word| Entry::holds_fill(*word))
}

/// The buffers that one call works in.
pub(crate) struct Scratch {
    pub(crate) page: PaddedPage,
    packed: [u8; PACKED_BYTES],
    codecs: Codecs,
}

impl Scratch {
    fn new() -> Self {
        Self { page: PaddedPage::new(&[0; PAGE_SIZE]), packed: [0; PACKED_BYTES], codecs: Codecs::default() }
    }

    /// Decides how [`page`](Self::page) is stored.
    pub(crate) fn pack(&mut self, choice: CodecChoice) -> Packed<'_> {
        if let Some(word) = fill::repeated_word(&self.page) {
            if Entry::holds_fill(word) {
                return Packed::Fill(word);
            }
            self.packed[..8].copy_from_slice(&word.to_le_bytes());
            return Packed::Stored(Tier::SameFilled, &self.packed[..8]);
        }
        match choice {
            CodecChoice::Lz4 => pack_with(&mut self.codecs.lz4, &self.page, &mut self.packed),
            CodecChoice::Zstd => pack_with(&mut self.codecs.zstd, &self.page, &mut self.packed),
            CodecChoice::PageLz => pack_with(&mut self.codecs.page_lz, &self.page, &mut self.packed),
        }
    }

    /// Compresses the page that the stored bytes are of once more, as small as it gets.
    pub(crate) fn repack(&mut self, tier: Tier, stored: &[u8]) -> Result<Packed<'_>, Corrupt> {
        let page = *self.unpack(tier, stored)?;
        *self.page = page;
        Ok(pack_with(&mut self.codecs.zstd, &self.page, &mut self.packed))
    }

    /// The page that repeats `word`.
    pub(crate) fn unpack_fill(&mut self, word: u64) -> &Page {
        fill::fill(word, &mut self.page);
        &self.page
    }

    /// The page that the stored bytes are of.
    pub(crate) fn unpack<'a>(&'a mut self, tier: Tier, stored: &'a [u8]) -> Result<&'a Page, Corrupt> {
        match tier {
            Tier::SameFilled => {
                let word = stored.try_into().map_err(|_| Corrupt)?;
                Ok(self.unpack_fill(u64::from_le_bytes(word)))
            }
            Tier::Raw => stored.try_into().map_err(|_| Corrupt),
            Tier::Lz4 => self.codecs.lz4.decompress(stored, &mut self.page),
            Tier::Zstd => self.codecs.zstd.decompress(stored, &mut self.page),
            Tier::PageLz => self.codecs.page_lz.decompress(stored, &mut self.page),
        }
    }
}

fn pack_with<'a, C: Codec>(codec: &mut C, page: &'a PaddedPage, into: &'a mut [u8]) -> Packed<'a> {
    match codec.compress(page, into) {
        Some(len) if len <= WORTH_COMPRESSING => Packed::Stored(C::TIER, &into[..len]),
        _ => Packed::Stored(Tier::Raw, page.as_slice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(f: impl Fn(usize) -> u8) -> Page {
        std::array::from_fn(f)
    }

    /// Bytes that no codec shrinks.
    fn noise() -> Page {
        let mut state = 1_u64;
        page(|_| 0).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
    }

    fn round_trip(page: Page, choice: CodecChoice) -> Tier {
        let mut scratch = Scratch::new();
        *scratch.page = page;
        let packed = scratch.pack(choice);
        let (tier, stored) = match packed {
            Packed::Fill(word) => (None, word.to_le_bytes().to_vec()),
            Packed::Stored(tier, bytes) => (Some(tier), bytes.to_vec()),
        };
        *scratch.page = [0x55; PAGE_SIZE];
        assert_eq!(scratch.unpack(tier.unwrap_or(Tier::SameFilled), &stored), Ok(&page));
        tier.unwrap_or(Tier::SameFilled)
    }

    #[test]
    fn each_page_comes_back_from_the_tier_it_deserves() {
        let text = page(|i| b"the quick brown fox jumps over the lazy dog, "[i * i % 45]);
        assert_eq!(round_trip([0; PAGE_SIZE], CodecChoice::Lz4), Tier::SameFilled);
        assert_eq!(round_trip([0xaa; PAGE_SIZE], CodecChoice::Lz4), Tier::SameFilled);
        assert_eq!(round_trip(text, CodecChoice::Lz4), Tier::Lz4);
        assert_eq!(round_trip(text, CodecChoice::Zstd), Tier::Zstd);
        assert_eq!(round_trip(text, CodecChoice::PageLz), Tier::PageLz);
        assert_eq!(round_trip(noise(), CodecChoice::Lz4), Tier::Raw);
        assert_eq!(round_trip(noise(), CodecChoice::Zstd), Tier::Raw);
        assert_eq!(round_trip(noise(), CodecChoice::PageLz), Tier::Raw);
    }

    #[test]
    fn saving_less_than_a_sixteenth_is_not_compressed() {
        let mostly_noise = |zeros| {
            let mut page = noise();
            page[..zeros].fill(0);
            page
        };
        assert_eq!(round_trip(mostly_noise(200), CodecChoice::Lz4), Tier::Raw);
        assert_eq!(round_trip(mostly_noise(400), CodecChoice::Lz4), Tier::Lz4);
    }

    #[test]
    fn broken_bytes_are_told_from_a_page() {
        let mut scratch = Scratch::new();
        assert_eq!(scratch.unpack(Tier::Raw, &[0; 100]), Err(Corrupt));
        assert_eq!(scratch.unpack(Tier::SameFilled, &[0; 7]), Err(Corrupt));
        assert_eq!(scratch.unpack(Tier::Lz4, &[0xff; 100]), Err(Corrupt));
        assert_eq!(scratch.unpack(Tier::Zstd, &[0xff; 100]), Err(Corrupt));
        assert_eq!(scratch.unpack(Tier::PageLz, &[0xff; 100]), Err(Corrupt));
    }
}
