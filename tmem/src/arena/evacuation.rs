//! Which slabs are to be emptied: those whose slots have room in others of their class.

use super::{Arena, Backing, Slot, class_of};
use crate::key::PoolKind;

/// For each class the highest slab that is kept. Made once, and soon out of date: it says what is worth moving, not what
/// may be moved.
#[derive(Debug)]
pub(crate) struct Evacuation {
    last_kept: Vec<u32>,
}

impl Evacuation {
    /// Whether the slot is in a slab that is to be emptied.
    pub(crate) fn includes(&self, slot: Slot) -> bool {
        let (slab, _) = slot.position();
        self.last_kept.get(class_of(slot.len())).is_some_and(|last| slab > *last)
    }
}

impl<B: Backing> Arena<B> {
    /// What can be emptied of a kind's slabs. New slots are taken at the lowest addresses first, so it is the highest
    /// slabs that are given up.
    pub(crate) fn evacuation(&self, kind: PoolKind) -> Evacuation {
        let last_kept = self.classes[kind as usize].iter().map(|class| class.lock().last_kept()).collect();
        Evacuation { last_kept }
    }
}
