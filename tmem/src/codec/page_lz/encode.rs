//! Finds matches by a hash of five bytes, greedily, and writes the three streams.

use crate::key::PAGE_SIZE;

use super::super::padded::MARGIN;
use super::token::{BESIDE_MAX, MATCH_MIN, continued_part, first_part, literal_part};
use super::{FIRST_DISTANCE, HEADER_BYTES, NEAR, PACKED_MAX};

/// Positions remembered. More find a percent more and cost the time to forget them before each page.
const HASH_BITS: u32 = 10;
/// The search takes one more byte a step after each `PATIENCE / HASTE` misses.
const PATIENCE: usize = 4;
/// With 1 the pages take 3 % less room, and a tenth more time; recompression finds most of it later.
const HASTE: usize = 2;
const PAGE_END: usize = MARGIN + PAGE_SIZE;
/// Matches begin before this, so that a word more can be looked at.
const LAST_START: usize = PAGE_END - 12;
/// Room of a stream: full, and what one more sequence adds.
const STREAM_BYTES: usize = PACKED_MAX + PAGE_SIZE + 64;

/// The page between zeros: words are loaded without a look at its ends, and the zeros in front can be copied from.
type Padded = [u8; PAGE_END + MARGIN];

/// The buffers of one thread.
pub(super) struct Encoder {
    /// Where a hash was last seen.
    seen: [u16; 1 << HASH_BITS],
    tokens: Stream,
    distances: Stream,
    literals: Stream,
}

/// One of the streams, while it is made.
struct Stream {
    bytes: [u8; STREAM_BYTES],
    len: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        let stream = || Stream { bytes: [0; STREAM_BYTES], len: 0 };
        Self { seen: [0; 1 << HASH_BITS], tokens: stream(), distances: stream(), literals: stream() }
    }
}

impl Stream {
    fn clear(&mut self) {
        self.len = 0;
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[inline]
fn word(page: &Padded, at: usize) -> u64 {
    let bytes = page.get(at..at + 8).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The hash of the low five bytes: fewer find matches of four that cost more than they save.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "a hash of 10 bits")]
fn hash(word: u64) -> usize {
    ((word << 24).wrapping_mul(0x9e37_79b1_85eb_ca87) >> (64 - HASH_BITS)) as usize
}

#[inline]
fn low_half_equal(a: u64, b: u64) -> bool {
    (a ^ b) << 32 == 0
}

/// Bytes, up to eight, that are equal before `at` and at the distance before that.
#[inline]
fn equal_before(page: &Padded, at: usize, distance: usize) -> usize {
    let difference = word(page, at - 8) ^ word(page, at - 8 - distance);
    difference.leading_zeros() as usize / 8
}

#[inline]
fn end_of_match(page: &Padded, start: usize, distance: usize) -> usize {
    let mut at = start;
    while at < PAGE_END {
        let difference = word(page, at) ^ word(page, at - distance);
        if difference != 0 {
            return (at + difference.trailing_zeros() as usize / 8).min(PAGE_END);
        }
        at += 8;
    }
    PAGE_END
}

impl Encoder {
    /// Packs a page to the start of `into`; `None` where it does not fit there or into [`PACKED_MAX`].
    #[allow(clippy::cast_possible_truncation, reason = "positions in a page fit 16 bits")]
    pub(super) fn encode(&mut self, page: &Padded, into: &mut [u8]) -> Option<usize> {
        // Nothing seen yet reads as zeros in front of the page: right where the page has zeros, else no match.
        self.seen.fill((MARGIN - FIRST_DISTANCE) as u16);
        self.tokens.clear();
        self.distances.clear();
        self.literals.clear();

        let mut written = MARGIN;
        let mut at = MARGIN;
        let mut last = FIRST_DISTANCE;
        let mut patience = PATIENCE;
        while at <= LAST_START {
            let here = word(page, at);
            let seen = &mut self.seen[hash(here)];
            let candidate = usize::from(std::mem::replace(seen, at as u16));
            let again = low_half_equal(word(page, at - last), here);
            // Nearer than eight bytes source and copy would overlap within a word.
            let found = (candidate + 8 <= at) & low_half_equal(word(page, candidate), here);
            if !(again | found) {
                at += patience / PATIENCE;
                patience += HASTE;
                continue;
            }
            patience = PATIENCE;
            let distance = std::hint::select_unpredictable(again, last, at.wrapping_sub(candidate));
            let start = at - equal_before(page, at, distance).min(at - written);
            let end = end_of_match(page, at, distance);
            self.sequence(page, [written, start, end], distance, distance != last);
            if self.tokens.len + self.distances.len + self.literals.len > PACKED_MAX {
                return None;
            }
            last = distance;
            at = end;
            written = end;
        }
        self.rest(page, written);
        self.join(into)
    }

    /// Writes the literals from `written` to `start` and the match from there to `end`.
    #[inline]
    fn sequence(&mut self, page: &Padded, [written, start, end]: [usize; 3], distance: usize, new: bool) {
        debug_assert!(end - start >= MATCH_MIN && distance >= 8);
        self.copy_literals(page, written, start);
        let mut literals = start - written;
        while literals > BESIDE_MAX {
            let part = literal_part(literals);
            self.tokens.push(part.token);
            literals -= usize::from(part.length);
        }
        let first = first_part(literals, end - start, new);
        self.tokens.push(first.token);
        self.push_distance(distance, new);
        let mut left = end - start - usize::from(first.length);
        while left > 0 {
            let part = continued_part(left);
            self.tokens.push(part.token);
            left -= usize::from(part.length);
        }
    }

    /// Appends a distance if it is new. Both bytes are always written and then counted: whether there are two, one or
    /// none is chance to a branch predictor.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a distance has 12 bits")]
    fn push_distance(&mut self, distance: usize, new: bool) {
        let near = distance.is_multiple_of(8) & (distance <= NEAR * 8);
        let code =
            std::hint::select_unpredictable(near, distance / 8 - 1, NEAR | distance >> 8 | (distance & 255) << 8);
        let len = self.distances.len;
        self.distances.bytes[len..len + 2].copy_from_slice(&(code as u16).to_le_bytes());
        self.distances.len = len + usize::from(new) * (2 - usize::from(near));
    }

    #[inline]
    fn copy_literals(&mut self, page: &Padded, from: usize, to: usize) {
        let (count, len) = (to - from, self.literals.len);
        // Most are few, and a copy of a fixed size is two instructions.
        self.literals.bytes[len..len + MARGIN].copy_from_slice(&page[from..from + MARGIN]);
        if count > MARGIN {
            self.literals.bytes[len..len + count].copy_from_slice(&page[from..to]);
        }
        self.literals.len = len + count;
    }

    /// Writes what is left at the end of the page as literals.
    fn rest(&mut self, page: &Padded, written: usize) {
        self.copy_literals(page, written, PAGE_END);
        let mut literals = PAGE_END - written;
        while literals > 0 {
            let part = literal_part(literals);
            self.tokens.push(part.token);
            literals -= usize::from(part.length);
        }
    }

    /// Puts the streams together.
    fn join(&self, into: &mut [u8]) -> Option<usize> {
        let streams = [self.tokens.bytes(), self.distances.bytes(), self.literals.bytes()];
        let total = HEADER_BYTES + streams.iter().map(|stream| stream.len()).sum::<usize>();
        let (header, mut rest) = into.get_mut(..total.min(PACKED_MAX + 1))?.split_first_chunk_mut::<HEADER_BYTES>()?;
        if total > PACKED_MAX {
            return None;
        }
        let [t0, t1] = u16::try_from(self.tokens.len).ok()?.to_le_bytes();
        let [d0, d1] = u16::try_from(self.distances.len).ok()?.to_le_bytes();
        *header = [t0, t1, d0, d1];
        for stream in streams {
            let (own, behind) = rest.split_at_mut(stream.len());
            own.copy_from_slice(stream);
            rest = behind;
        }
        Some(total)
    }
}
