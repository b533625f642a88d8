//! Finds matches: greedily, by a hash of five bytes.

use crate::key::PAGE_SIZE;

use super::super::padded::MARGIN;
use super::FIRST_DISTANCE;
use super::token::MATCH_MIN;

/// Positions remembered. More find a percent more and cost the time to forget them before each page.
const HASH_BITS: u32 = 10;
/// The search takes one more byte a step after each `PATIENCE / HASTE` misses.
const PATIENCE: usize = 4;
/// With 1 the pages take 4 % less room, and an eighth more time; recompression finds most of it later.
const HASTE: usize = 2;
/// Nearer than this, source and copy would overlap within a word, and the decoder copies whole words.
const NEAREST: usize = 8;
/// Where the page begins between its margins.
pub(super) const PAGE_START: usize = MARGIN;
/// Where it ends.
pub(super) const PAGE_END: usize = PAGE_START + PAGE_SIZE;
/// Matches are looked for up to here: with less than this left of the page they save next to nothing.
const LAST_START: usize = PAGE_END - 12;
/// What a hash that was not seen yet points at: zeros in front of the page, and so a match where the page has zeros.
const NOWHERE: usize = PAGE_START - FIRST_DISTANCE;
// Eight bytes are compared before `NOWHERE`, and behind the page.
const _: () = assert!(NOWHERE >= 8 && MARGIN >= 8 && FIRST_DISTANCE >= NEAREST);

/// The page between zeros: words are loaded without a look at its ends, and the zeros in front can be copied from.
pub(super) type Padded = [u8; PAGE_END + MARGIN];

/// Where each hash was last seen.
pub(super) type Seen = [u16; 1 << HASH_BITS];

/// Bytes of the page that are also at a distance before them.
pub(super) struct Match {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) distance: usize,
    /// The match before was at another distance.
    pub(super) is_new: bool,
}

/// The matches of a page, from its start to its end.
///
/// It loads without looking whether it is inside the buffer, and relies on this instead: what was seen is a position
/// where a match was looked for, or [`NOWHERE`]; `at - last_distance` was such a one when the distance was set, and `at`
/// only grows; and eight bytes more are behind the page and in front of [`NOWHERE`].
pub(super) struct Search<'a> {
    page: &'a Padded,
    seen: &'a mut Seen,
    /// Where the last match ended.
    matched: usize,
    last_distance: usize,
}

impl<'a> Search<'a> {
    #[allow(clippy::cast_possible_truncation, reason = "a position in a page fits 16 bits")]
    pub(super) fn new(page: &'a Padded, seen: &'a mut Seen) -> Self {
        seen.fill(NOWHERE as u16);
        Self { page, seen, matched: PAGE_START, last_distance: FIRST_DISTANCE }
    }
}

impl Iterator for Search<'_> {
    type Item = Match;

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a position in a page fits 16 bits; the low half of a word")]
    fn next(&mut self) -> Option<Match> {
        let mut at = self.matched;
        let mut patience = PATIENCE;
        while at <= LAST_START {
            // SAFETY: `at` is at most `LAST_START`.
            let here = unsafe { word(self.page, at) };
            let candidate = usize::from(std::mem::replace(&mut self.seen[hash(here)], at as u16));
            // SAFETY: neither is before `NOWHERE` or behind `LAST_START`.
            let (at_last, at_candidate) =
                unsafe { (half(self.page, at - self.last_distance), half(self.page, candidate)) };
            let is_new = at_last != here as u32;
            if !is_new || (at_candidate == here as u32 && candidate + NEAREST <= at) {
                if is_new {
                    self.last_distance = at - candidate;
                }
                let distance = self.last_distance;
                // SAFETY: `at` and `at + MATCH_MIN` are in the page, and neither is nearer to `NOWHERE` than `distance`.
                let (before, end) = unsafe {
                    (equal_before(self.page, at, distance), end_of_match(self.page, at + MATCH_MIN, distance))
                };
                let start = at - before.min(at - self.matched);
                self.matched = end;
                return Some(Match { start, end, distance, is_new });
            }
            at += patience / PATIENCE;
            patience += HASTE;
        }
        None
    }
}

/// The hash of the low five bytes: fewer find matches of four that cost more than they save.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "a hash of 10 bits")]
fn hash(word: u64) -> usize {
    ((word << 24).wrapping_mul(0x9e37_79b1_85eb_ca87) >> (64 - HASH_BITS)) as usize
}

/// Eight bytes, the first one lowest.
///
/// # Safety
/// They are inside the buffer.
#[inline]
unsafe fn word(page: &Padded, at: usize) -> u64 {
    debug_assert!(at + 8 <= page.len());
    // SAFETY: the caller's promise.
    u64::from_le(unsafe { page.as_ptr().add(at).cast::<u64>().read_unaligned() })
}

/// Four bytes, the first one lowest.
///
/// # Safety
/// They are inside the buffer.
#[inline]
unsafe fn half(page: &Padded, at: usize) -> u32 {
    debug_assert!(at + 4 <= page.len());
    // SAFETY: the caller's promise.
    u32::from_le(unsafe { page.as_ptr().add(at).cast::<u32>().read_unaligned() })
}

/// Bytes, up to eight, that are equal before `at` and at the distance before that.
///
/// # Safety
/// `at` is in the page, and `at - distance` not before [`NOWHERE`].
#[inline]
unsafe fn equal_before(page: &Padded, at: usize, distance: usize) -> usize {
    // SAFETY: `NOWHERE` has eight bytes before it.
    let difference = unsafe { word(page, at - 8) ^ word(page, at - 8 - distance) };
    difference.leading_zeros() as usize / 8
}

/// Where the bytes from `at` on cease to be equal to those at the distance before them, or the page ends.
///
/// # Safety
/// `at` is in the page, and `at - distance` not before [`NOWHERE`].
#[inline]
unsafe fn end_of_match(page: &Padded, mut at: usize, distance: usize) -> usize {
    while at < PAGE_END {
        // SAFETY: the page has eight bytes behind it.
        let difference = unsafe { word(page, at) ^ word(page, at - distance) };
        if difference != 0 {
            at += difference.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    // A branch, not a minimum: it is hardly ever taken, and the next search waits for the result.
    if at > PAGE_END { behind_the_page() } else { at }
}

#[cold]
fn behind_the_page() -> usize {
    PAGE_END
}
