//! A clock with a two-bit count of uses.
//!
//! Each hit counts up to three, each pass of the hand counts down; a page with no count left goes. A page that was used
//! often outlives three passes, a page that was put and never asked for goes at the first: scans do not push out what is
//! used. (The main queue of S3-FIFO works like this; Yang et al., SOSP 2023.)

use super::{Policy, Verdict};

/// The largest count.
const MOST: u8 = 3;

/// For guests that do not put again what they took back.
#[derive(Debug)]
pub(super) struct SecondChance;

impl Policy for SecondChance {
    fn hit(&self, age: u8) -> u8 {
        MOST.min(age + 1)
    }

    fn pass(&self, age: u8) -> Verdict {
        age.checked_sub(1).map_or(Verdict::Evict, Verdict::Spare)
    }
}
