//! Numbers for leaves, small enough for a hint.

use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

use crate::index::Leaf;
use crate::quota::Quota;

use super::hints::LEAVES_MOST;

/// The leaves that hints name, by number from 1.
#[derive(Debug, Default)]
pub(super) struct Directory {
    leaves: Vec<Option<Weak<Leaf>>>,
    free: Vec<NonZeroU32>,
}

impl Directory {
    /// Heap bytes for each leaf: the vector doubles its room.
    const LEAF_BYTES: usize = 2 * size_of::<Option<Weak<Leaf>>>();

    /// Gives a leaf a number. `None` where there is none left, or no memory.
    pub(super) fn enter(&mut self, leaf: &Arc<Leaf>, quota: &Quota) -> Option<NonZeroU32> {
        let next = u32::try_from(self.leaves.len()).ok()? + 1;
        if self.free.is_empty() && next >= LEAVES_MOST {
            return None;
        }
        quota.try_charge_metadata(Self::LEAF_BYTES).ok()?;
        let number = self.free.pop().or_else(|| {
            self.leaves.push(None);
            NonZeroU32::new(next)
        })?;
        self.leaves[number.get() as usize - 1] = Some(Arc::downgrade(leaf));
        Some(number)
    }

    /// The leaf of this number, while it lives.
    pub(super) fn get(&self, number: u32) -> Option<Arc<Leaf>> {
        self.leaves.get((number as usize).checked_sub(1)?)?.as_ref()?.upgrade()
    }

    /// Takes a leaf's number back.
    pub(super) fn leave(&mut self, number: NonZeroU32, quota: &Quota) {
        self.leaves[number.get() as usize - 1] = None;
        self.free.push(number);
        quota.refund_metadata(Self::LEAF_BYTES);
        if self.free.len() == self.leaves.len() {
            *self = Self::default();
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.leaves.len() - self.free.len()) * Self::LEAF_BYTES
    }
}
