//! Where a page of some hash may be, in four bytes.
//!
//! A bucket is one cache line of sixteen words; a word is the number of a leaf and the twelve bits of the hash that follow
//! those of the bucket. When the table doubles, the first of them says which half the word belongs to, and the last one
//! is not known any more; so eight are compared, and a word outlives four doublings.

use std::num::NonZeroU32;

use crate::quota::Quota;

/// The hash of a page's stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) u64);

/// Words of a bucket.
const WAYS: usize = 16;
const TAG_BITS: u32 = 12;
const TAG_MASK: u32 = (1 << TAG_BITS) - 1;
/// Bits of the tag that are compared.
const COMPARED_MASK: u32 = (1 << 8) - 1;
/// Leaves that can be told apart; the others have no hints.
pub(super) const LEAVES_MOST: u32 = 1 << (32 - TAG_BITS);
/// Candidates that are looked at for a page.
const CANDIDATES: usize = 2;
/// Words of the smallest table.
const LEAST: usize = 64;
/// The table doubles when there are this many pages for each of [`PAGES_OF`] words, and is cut in half at a quarter of
/// that: three to six bytes a page.
const PAGES_GROW: u64 = 4;
const PAGES_OF: u64 = 3;
/// Insertions between two looks at its size.
const LOOK: u32 = 64;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// A power of two of them, or none.
    words: Vec<u32>,
    inserted: u32,
}

impl Hints {
    /// The leaves whose tags are this hash's.
    pub(super) fn candidates(&self, hash: Hash) -> [Option<u32>; CANDIDATES] {
        let mut found = [None; CANDIDATES];
        if let Some((bucket, tag)) = self.place(hash) {
            let is_alike = |word: &&u32| **word != 0 && (**word ^ tag) & COMPARED_MASK == 0;
            let alike = self.words[bucket * WAYS..][..WAYS].iter().filter(is_alike);
            for (found, word) in found.iter_mut().zip(alike) {
                *found = Some(word >> TAG_BITS);
            }
        }
        found
    }

    /// Remembers a leaf over an older hint if need be. `pages` says how many there are altogether.
    pub(super) fn insert(&mut self, hash: Hash, leaf: NonZeroU32, pages: impl FnOnce() -> u64, quota: &Quota) {
        if self.inserted.is_multiple_of(LOOK) {
            self.fit(pages(), quota);
        }
        self.inserted = self.inserted.wrapping_add(1);
        let Some((bucket, tag)) = self.place(hash) else { return };
        let word = leaf.get() << TAG_BITS | tag;
        let bucket = &mut self.words[bucket * WAYS..][..WAYS];
        // By the hash's own bits, so that no word is safe from being written over, and none in danger for long.
        let fallback = (hash.0 >> 56) as usize % WAYS;
        let at = bucket.iter().position(|present| *present == 0 || *present == word).unwrap_or(fallback);
        bucket[at] = word;
    }

    pub(super) fn clear(&mut self, quota: &Quota) {
        quota.refund_metadata(self.heap_bytes());
        *self = Self::default();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.words.len() * size_of::<u32>()
    }

    /// Number of the bucket, and the tag in it.
    #[allow(clippy::cast_possible_truncation, reason = "bits of a hash are taken")]
    fn place(&self, hash: Hash) -> Option<(usize, u32)> {
        let buckets = self.words.len() / WAYS;
        let bits = buckets.checked_ilog2()?;
        Some((hash.0 as usize & (buckets - 1), (hash.0 >> bits) as u32 & TAG_MASK))
    }

    fn fit(&mut self, pages: u64, quota: &Quota) {
        let words = self.words.len();
        if pages * PAGES_OF > words as u64 * PAGES_GROW {
            let more = words.max(LEAST);
            if quota.try_charge_metadata(more * size_of::<u32>()).is_ok() {
                self.words.reserve_exact(more);
                self.words.resize(words + more, 0);
                self.split(words);
            }
        } else if words > LEAST && pages * PAGES_OF * 4 < words as u64 * PAGES_GROW {
            self.join(words / 2);
            quota.refund_metadata(words / 2 * size_of::<u32>());
        }
    }

    /// Moves the words that belong into the second half there, after the first `words` of them got as many more.
    fn split(&mut self, words: usize) {
        let (low, high) = self.words.split_at_mut(words);
        for (low, high) in low.iter_mut().zip(high) {
            let (leaf, tag) = (*low & !TAG_MASK, *low & TAG_MASK);
            let word = if leaf == 0 { 0 } else { leaf | tag >> 1 };
            (*low, *high) = if tag & 1 == 0 { (word, 0) } else { (0, word) };
        }
    }

    /// Puts both halves, of `words` each, into the first, as far as they fit.
    fn join(&mut self, words: usize) {
        let longer = |word: u32, bit: u32| word & !TAG_MASK | (word << 1 | bit) & TAG_MASK;
        let (low, high) = self.words.split_at_mut(words);
        for (low, high) in low.chunks_mut(WAYS).zip(high.chunks(WAYS)) {
            low.iter_mut().filter(|word| **word != 0).for_each(|word| *word = longer(*word, 0));
            let free = low.iter_mut().filter(|word| **word == 0);
            let moved = high.iter().filter(|word| **word != 0);
            free.zip(moved).for_each(|(free, word)| *free = longer(*word, 1));
        }
        self.words.truncate(words);
        self.words.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> Hash {
        Hash(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    fn leaf(n: u64) -> NonZeroU32 {
        NonZeroU32::new(u32::try_from(n % 1000 + 1).unwrap()).unwrap()
    }

    #[test]
    fn most_pages_are_found_again_while_the_table_grows_with_them() {
        let (mut hints, quota) = (Hints::default(), Quota::new(1 << 30, 0));
        for n in 0..20_000 {
            hints.insert(hash(n), leaf(n), || n + 1, &quota);
        }
        let found = |n: &u64| hints.candidates(hash(*n)).contains(&Some(leaf(*n).get()));
        let count = (0..20_000).filter(found).count();
        assert!(count > 15_000, "{count} of 20000");
        let per_page = hints.heap_bytes() as u64 / (20_000 / 10);
        assert!((30..=60).contains(&per_page), "{per_page} tenths of a byte a page");
        assert_eq!(quota.used(), hints.heap_bytes() as u64);
        hints.clear(&quota);
        assert_eq!((quota.used(), hints.candidates(hash(7))), (0, [None; CANDIDATES]));
    }

    #[test]
    fn a_table_for_few_pages_gets_small_again() {
        let (mut hints, quota) = (Hints::default(), Quota::new(1 << 30, 0));
        (0..10_000).for_each(|n| hints.insert(hash(n), leaf(1), || n + 1, &quota));
        let large = hints.heap_bytes();
        (0..1000).for_each(|n| hints.insert(hash(n), leaf(n), || 600, &quota));
        assert!(hints.heap_bytes() <= large / 8);
        let found = (0..1000).filter(|n| hints.candidates(hash(*n)).contains(&Some(leaf(*n).get()))).count();
        assert!(found > 400, "{found} of 1000 in {large} bytes and less");
        assert_eq!(quota.used(), hints.heap_bytes() as u64);
    }

    #[test]
    fn at_the_limit_there_is_no_table() {
        let (mut hints, quota) = (Hints::default(), Quota::new(100, 0));
        hints.insert(hash(1), leaf(1), || 1, &quota);
        assert_eq!((hints.heap_bytes(), hints.candidates(hash(1))), (0, [None; CANDIDATES]));
    }
}
