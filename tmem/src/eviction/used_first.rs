//! What the guest took back goes first.
//!
//! A guest puts a page when it has no room for it, and gets it when it needs it again. From then on it has a copy of its
//! own, which it will put once more when that has to go: of all pages in the store the one just used is the one that is
//! missed last. So a page that was used goes at the next pass of the hand; any other at the second. (Wong and Wilkes,
//! USENIX 2002, on caches behind caches; `docs/eviction.md` has the hit ratios.)

use super::{Policy, Verdict};

/// The age of a page that goes when the hand comes by.
const NEXT: u8 = 1;

/// The default policy.
#[derive(Debug)]
pub(super) struct UsedFirst;

impl Policy for UsedFirst {
    fn hit(&self, _age: u8) -> u8 {
        NEXT
    }

    fn pass(&self, age: u8) -> Verdict {
        if age >= NEXT { Verdict::Evict } else { Verdict::Spare(NEXT) }
    }
}
