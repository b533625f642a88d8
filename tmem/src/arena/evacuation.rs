//! Which slabs are to be emptied: those whose slots have room in others of their class.

use super::{Arena, Slot, class_of};
use crate::backing::Backing;
use crate::key::PoolKind;

/// The slabs to empty, by class. Made once, and soon out of date: it says what is worth moving, not what may be moved.
#[derive(Debug)]
pub(crate) struct Evacuation {
    /// Numbers in ascending order.
    slabs: Vec<Vec<u32>>,
}

impl Evacuation {
    /// Whether the slot is in a slab that is to be emptied.
    pub(crate) fn includes(&self, slot: Slot) -> bool {
        let (slab, _) = slot.position();
        self.slabs.get(class_of(slot.len())).is_some_and(|slabs| slabs.binary_search(&slab).is_ok())
    }
}

impl<B: Backing> Arena<B> {
    /// What can be emptied of a kind's slabs.
    pub(crate) fn evacuation(&self, kind: PoolKind) -> Evacuation {
        Evacuation { slabs: self.classes[kind as usize].iter().map(|class| class.0.lock().surplus()).collect() }
    }
}
