//! Hysteresis at the limit: a store that was full takes new pages again only once it has become emptier by a good piece.
//!
//! ```text
//!  taken ──── a put is refused for want of room: how much was held is noted ───► refused
//!    ▲                                                                             │
//!    └──── what is held has fallen below the threshold's part of that ◄────────────┘
//! ```
//!
//! Noted is which part of the limit was held, so that the threshold follows a limit that changes meanwhile. Held are the
//! bytes of pages and the index, not the resident bytes: a page that is freed leaves its slab resident, for the next one.

use std::sync::atomic::{AtomicU32, Ordering};

/// A threshold that never refuses: the whole, in hundredths of a percent.
pub(crate) const OFF_BASIS_POINTS: u32 = 10_000;

/// The whole limit, in the parts that the mark counts.
const WHOLE: u32 = 1 << 20;
/// The mark while every page is taken.
const OPEN: u32 = 0;

/// Whether new pages are taken.
#[derive(Debug)]
pub(crate) struct Acceptance {
    threshold_basis_points: u32,
    /// How much of the limit was held when a put was refused, else [`OPEN`]. Read by each put, written when that changes.
    mark: AtomicU32,
}

impl Acceptance {
    pub(crate) const fn new(threshold_basis_points: u32) -> Self {
        Self { threshold_basis_points, mark: AtomicU32::new(OPEN) }
    }

    /// Whether new pages wait until less is held.
    pub(crate) fn is_closed(&self) -> bool {
        self.mark.load(Ordering::Relaxed) != OPEN
    }

    /// A put was refused for want of room, with so many bytes held.
    pub(crate) fn close(&self, held_bytes: u64, limit_bytes: u64) {
        if self.threshold_basis_points >= OFF_BASIS_POINTS {
            return;
        }
        let mark = u128::from(held_bytes) * u128::from(WHOLE) / u128::from(limit_bytes.max(1));
        self.mark.store(u32::try_from(mark).unwrap_or(WHOLE).clamp(OPEN + 1, WHOLE), Ordering::Relaxed);
    }

    /// Takes every page again.
    pub(crate) fn open(&self) {
        self.mark.store(OPEN, Ordering::Relaxed);
    }

    /// Most bytes held with which new pages are taken again, at this limit.
    pub(crate) fn threshold_bytes(&self, limit_bytes: u64) -> u64 {
        let mark = u128::from(self.mark.load(Ordering::Relaxed));
        let full = u128::from(limit_bytes) * mark / u128::from(WHOLE);
        let part = full * u128::from(self.threshold_basis_points) / u128::from(OFF_BASIS_POINTS);
        u64::try_from(part).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_threshold_is_a_part_of_what_was_held_and_follows_the_limit() {
        let acceptance = Acceptance::new(9000);
        assert!(!acceptance.is_closed());
        acceptance.close(500_000, 1_000_000);
        assert!(acceptance.is_closed());
        let about = |limit, wanted: u64| acceptance.threshold_bytes(limit).abs_diff(wanted) <= 2;
        assert!(about(1_000_000, 450_000) && about(2_000_000, 900_000) && about(0, 0));
        acceptance.open();
        assert!(!acceptance.is_closed());
    }

    #[test]
    fn a_limit_far_below_what_is_held_counts_as_full() {
        let acceptance = Acceptance::new(5000);
        acceptance.close(1 << 40, 1000);
        assert_eq!(acceptance.threshold_bytes(1000), 500);
        acceptance.close(5, 0);
        assert_eq!(acceptance.threshold_bytes(1000), 500);
    }

    #[test]
    fn without_a_threshold_nothing_waits() {
        let acceptance = Acceptance::new(OFF_BASIS_POINTS);
        acceptance.close(1000, 1000);
        assert!(!acceptance.is_closed());
    }

    proptest! {
        #[test]
        fn whatever_was_held_the_threshold_is_below_it_and_below_its_part_of_the_limit(
            part in 1..OFF_BASIS_POINTS, held: u64, limit: u64,
        ) {
            let acceptance = Acceptance::new(part);
            acceptance.close(held, limit);
            prop_assert!(acceptance.is_closed());
            let threshold = u128::from(acceptance.threshold_bytes(limit));
            prop_assert!(threshold <= u128::from(limit) * u128::from(part) / u128::from(OFF_BASIS_POINTS));
            prop_assert!(threshold <= u128::from(held).max(u128::from(limit / u64::from(WHOLE))));
        }
    }
}
