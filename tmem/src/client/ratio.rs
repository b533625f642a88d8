//! Whether a page is worth its place, by what it compresses to.
//!
//! The law of the mean is that of zcache: nothing is asked while the mean size of what is stored is good; while it is bad a
//! page has to be better than the mean, which so gets better. Pages of one word and those in shares are not in it: they say
//! nothing of what the next page costs.

use crate::codec::Packed;
use crate::config::AcceptChoice;
use crate::key::PAGE_SIZE;
use crate::statistics::Counter;

use super::Client;

/// The largest mean that is good: five eighths of a page, as zcache has it.
const GOOD_MEAN_BYTES: usize = PAGE_SIZE * 5 / 8;
/// A mean of fewer pages, 1 MiB of them, is chance.
const PAGES_MIN: u64 = 256;

const PAGES: [Counter; 4] = [Counter::RawPages, Counter::Lz4Pages, Counter::ZstdPages, Counter::PageLzPages];
const BYTES: [Counter; 4] = [Counter::RawBytes, Counter::Lz4Bytes, Counter::ZstdBytes, Counter::PageLzBytes];

impl Client {
    /// Whether the page may take so much.
    pub(super) fn is_worth_its_place(&self, packed: Packed<'_>) -> bool {
        let Packed::Stored(_, bytes) = packed else { return true };
        bytes.len() <= self.config.max_stored_bytes && self.is_accepted_by_mean(bytes.len())
    }

    /// Whether the answer to a put depends on what its page compresses to.
    pub(super) fn asks_for_ratio(&self) -> bool {
        self.config.max_stored_bytes < PAGE_SIZE || self.config.accept != AcceptChoice::Any
    }

    fn is_accepted_by_mean(&self, len: usize) -> bool {
        match self.config.accept {
            AcceptChoice::Any => true,
            // It is better than any mean that is bad: most pages need no look at the others' counters.
            AcceptChoice::BetterThanMean if len <= GOOD_MEAN_BYTES => true,
            AcceptChoice::BetterThanMean => {
                let [pages, bytes] = self.counters.sums([&PAGES, &BYTES]);
                is_accepted(len as u64, pages, bytes)
            }
        }
    }
}

/// Whether a page of `len` bytes may join so many pages that take so many bytes.
const fn is_accepted(len: u64, pages: u64, bytes: u64) -> bool {
    pages < PAGES_MIN || bytes <= pages * GOOD_MEAN_BYTES as u64 || len * pages < bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;

    #[test]
    fn nothing_is_asked_of_a_page_while_the_mean_is_good_or_chance() {
        let good = GOOD_MEAN_BYTES as u64;
        assert!(is_accepted(PAGE, 0, 0) && is_accepted(PAGE, PAGES_MIN - 1, (PAGES_MIN - 1) * PAGE));
        assert!(is_accepted(PAGE, 1000, 1000 * good));
        assert!(!is_accepted(PAGE, 1000, 1000 * good + 1));
    }

    #[test]
    fn while_the_mean_is_bad_a_page_has_to_be_better() {
        assert!(is_accepted(2999, 1000, 3_000_000) && !is_accepted(3000, 1000, 3_000_000));
        assert!(is_accepted(3000, 1000, 3_000_001), "by however little");
        assert!(!is_accepted(PAGE, 1000, 1000 * PAGE), "no page is better than raw ones");
    }

    #[test]
    fn the_largest_store_there_can_be_does_not_overflow() {
        let pages = 1 << 40;
        assert!(!is_accepted(PAGE, pages, pages * PAGE));
    }
}
