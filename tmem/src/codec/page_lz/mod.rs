//! A codec for single pages: what LZ4 does, in a format that fits 4 KiB of pointers, small integers and text.
//!
//! On heaps three of four matches lie a multiple of eight bytes back, every third at the distance of the match before it
//! (neighbours in an array of structures), and the commonest match is seven bytes long: a pointer whose low byte
//! differs. So a distance is one byte where it can be, none where it is the last one, and both lengths of a sequence
//! are one token. The three streams stand apart, so that the decoder finds the next token without having decoded this
//! one's literals, and hardly a branch of it depends on the data.
//!
//! ```text
//!  token count (2) │ distance bytes (2) │ tokens │ distances │ literals        numbers are little-endian
//! ```
//!
//! A token says how many literals come first, how long the match after them is, and whether its distance is a new one
//! ([`token`]). A new distance `d` is one byte, `d / 8 - 1`, where it is a multiple of eight and at most 1920; else two,
//! `240 | d >> 8` and `d & 255`. At the start the last distance is 8, and in front of the page are zeros.
//!
//! Measured on five sets of real pages (`docs/bench.md`): a tenth smaller than LZ4, and faster than `lz4_flex` both ways.

mod decode;
mod encode;
mod search;
mod stream;
mod token;

use crate::index::Tier;
use crate::key::Page;

use super::{Codec, Corrupt, PaddedPage, WORTH_COMPRESSING};
use decode::Decoder;
use encode::Encoder;

/// Most bytes of a packed page; what does not fit is not worth it.
const PACKED_MAX: usize = WORTH_COMPRESSING;
/// Bytes of the two counts in front.
const HEADER_BYTES: usize = 4;
/// The last distance at the start of a page.
const FIRST_DISTANCE: usize = 8;
/// Distances in steps of eight that take one byte.
const NEAR: u16 = 240;

/// The codec with its buffers.
#[derive(Default)]
pub(super) struct PageLz {
    encoder: Encoder,
    decoder: Decoder,
}

impl Codec for PageLz {
    const TIER: Tier = Tier::PageLz;

    fn compress(&mut self, page: &PaddedPage, into: &mut [u8]) -> Option<usize> {
        self.encoder.encode(page.with_margins(), into)
    }

    fn decompress<'a>(&'a mut self, packed: &[u8], _: &'a mut Page) -> Result<&'a Page, Corrupt> {
        self.decoder.decode(packed).ok_or(Corrupt)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::PAGE_SIZE;

    fn round_trip(codec: &mut PageLz, page: &Page) -> Option<usize> {
        let mut packed = [0; PACKED_MAX];
        let len = codec.compress(&PaddedPage::new(page), &mut packed)?;
        let mut unused = [0; PAGE_SIZE];
        assert_eq!(codec.decompress(&packed[..len], &mut unused), Ok(page));
        Some(len)
    }

    /// Pages of runs: copies from further back, constant bytes, fresh bytes.
    fn page() -> impl Strategy<Value = Page> {
        let run = (0..4_u8, 1..400_usize, 0..PAGE_SIZE, any::<u64>());
        prop::collection::vec(run, 1..200).prop_map(|runs| {
            let mut page = [0; PAGE_SIZE];
            let mut at = 0;
            for (kind, len, back, seed) in runs {
                for step in 0..len.min(PAGE_SIZE - at) {
                    page[at] = match kind {
                        0 => seed.to_le_bytes()[0],
                        1 => seed.wrapping_mul(step as u64 * 2 + 1).to_be_bytes()[0],
                        2 => page[at.saturating_sub(back % 64 + 1)],
                        _ => page[at.saturating_sub(back + 1)],
                    };
                    at += 1;
                }
            }
            page
        })
    }

    proptest! {
        #[test]
        fn every_page_comes_back(pages in prop::collection::vec(page(), 1..4)) {
            // One codec for all: what an earlier page left in the buffers changes nothing.
            let mut codec = PageLz::default();
            for page in &pages {
                round_trip(&mut codec, page);
            }
        }

        #[test]
        fn bytes_that_no_encoder_wrote_are_harmless(
            mut bytes in prop::collection::vec(any::<u8>(), 0..PACKED_MAX + 100),
            tokens in 0..5000_u16,
            distances in 0..5000_u16,
        ) {
            let mut codec = PageLz::default();
            let mut unused = [0; PAGE_SIZE];
            let _ = codec.decompress(&bytes, &mut unused);
            if let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() {
                *header = [tokens.to_le_bytes(), distances.to_le_bytes()].concat().try_into().unwrap();
                let _ = codec.decompress(&bytes, &mut unused);
            }
        }

        #[test]
        fn a_flipped_bit_is_harmless(page in page(), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut codec = PageLz::default();
            let mut packed = [0; PACKED_MAX];
            if let Some(len) = codec.compress(&PaddedPage::new(&page), &mut packed) {
                packed[at.index(len)] ^= 1_u8 << bit;
                let _ = codec.decompress(&packed[..len], &mut [0; PAGE_SIZE]);
            }
        }
    }

    #[test]
    fn the_longest_runs_come_back() {
        let mut codec = PageLz::default();
        assert!(round_trip(&mut codec, &[0; PAGE_SIZE]).unwrap() < 16);
        assert!(round_trip(&mut codec, &[0xab; PAGE_SIZE]).unwrap() < 24);
        // A long match, then as many literals as fit.
        let mut page = [0; PAGE_SIZE];
        for (at, byte) in page.iter_mut().enumerate().skip(600) {
            *byte = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0];
        }
        assert!(round_trip(&mut codec, &page).is_some());
    }

    #[test]
    fn the_farthest_match_comes_back() {
        // The last bytes are found in the zeros in front of the page, 4092 bytes back.
        let mut page = [0xab; PAGE_SIZE];
        page[PAGE_SIZE - 12..].fill(0);
        assert_eq!(round_trip(&mut PageLz::default(), &page), Some(26));
    }

    #[test]
    fn a_page_that_does_not_shrink_is_given_up() {
        let mut state = 1_u64;
        let noise = [0; PAGE_SIZE].map(|_: u8| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        });
        assert_eq!(round_trip(&mut PageLz::default(), &noise), None);
    }
}
