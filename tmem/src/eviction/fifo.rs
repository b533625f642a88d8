//! First in, first out: what the others are compared with.

use super::{Policy, Verdict};

/// Evicts in the order of the hand, whatever was used.
#[derive(Debug)]
pub(super) struct Fifo;

impl Policy for Fifo {
    fn hit(&self, age: u8) -> u8 {
        age
    }

    fn pass(&self, _age: u8) -> Verdict {
        Verdict::Evict
    }
}
