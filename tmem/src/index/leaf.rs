//! The entries of 512 neighbouring indexes, behind one lock.

use std::sync::MutexGuard;

use crate::key::PoolKind;
use crate::lock::Lock;

use super::entry::{Contents, Entry};
pub(crate) use super::slots::LEAF_PAGES;
use super::slots::Slots;

/// A leaf of an object's tree.
#[derive(Debug)]
pub(crate) struct Leaf {
    kind: PoolKind,
    state: Lock<LeafState>,
}

/// What a leaf's lock protects.
#[derive(Debug)]
pub(crate) struct LeafState {
    /// Whether the leaf is in its object's tree. One that is not never gets another page, and its pages are counted
    /// as detached.
    pub(crate) attached: bool,
    slots: Slots,
    /// Pinned entries that were replaced or removed; their last reader frees them.
    orphans: Vec<Entry>,
}

impl Leaf {
    /// Heap bytes of an empty leaf itself: the block with its two counts, and the tree's share for its pointer.
    pub(crate) const BYTES: usize = size_of::<Self>() + 2 * size_of::<usize>() + 16 + TREE_SHARE_BYTES;

    pub(crate) fn new(kind: PoolKind) -> Self {
        Self { kind, state: Lock::new(LeafState { attached: true, slots: Slots::new(), orphans: Vec::new() }) }
    }

    pub(crate) fn kind(&self) -> PoolKind {
        self.kind
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LeafState> {
        self.state.lock()
    }

    /// The leaf that covers `index`, and the place in it.
    #[allow(clippy::cast_possible_truncation, reason = "a remainder of 512 fits")]
    pub(crate) fn of(index: u32) -> (u32, u16) {
        let pages = u32::from(LEAF_PAGES);
        (index / pages, (index % pages) as u16)
    }
}

/// A leaf's share of a tree node (11 places of 12 bytes each, at least half of them used).
const TREE_SHARE_BYTES: usize = 26;

/// An entry that left the index: the caller frees its slot, unless a reader still holds it.
pub(crate) type Removed = Option<Contents>;

impl LeafState {
    pub(crate) fn get(&self, place: u16) -> Entry {
        self.slots.get(place)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a reader is left of a page that is not here any more.
    pub(crate) fn has_orphans(&self) -> bool {
        !self.orphans.is_empty()
    }

    /// Heap bytes of the entries.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.heap_bytes()
    }

    /// Heap bytes that a page at `place` adds.
    pub(crate) fn growth_bytes(&self, place: u16) -> usize {
        self.slots.growth_bytes(place)
    }

    /// The first page at `place` or behind it.
    pub(crate) fn next(&self, place: u16) -> Option<(u16, Entry)> {
        self.slots.next(place)
    }

    /// Changes the age of the page at `place`.
    pub(crate) fn set_age(&mut self, place: u16, age: u8) {
        let entry = self.slots.get(place);
        if !entry.is_absent() {
            self.slots.update(place, entry.with_age(age));
        }
    }

    /// Marks the page at `place` as one that does not get smaller.
    pub(crate) fn settle(&mut self, place: u16) {
        let entry = self.slots.get(place);
        if !entry.is_absent() {
            self.slots.update(place, entry.settled());
        }
    }

    /// Puts a page at `place`. Returns whether it replaced another, and what of that can be freed now.
    pub(crate) fn insert(&mut self, place: u16, entry: Entry) -> (bool, Removed) {
        let old = self.slots.insert(place, entry);
        (!old.is_absent(), self.disown(old))
    }

    /// Takes the page at `place` out. Returns whether there was one, and what of it can be freed now.
    pub(crate) fn remove(&mut self, place: u16) -> (bool, Removed) {
        let old = self.slots.remove(place);
        (!old.is_absent(), self.disown(old))
    }

    /// Takes every page out, hands those that no reader holds to `free`, and returns how many there were.
    pub(crate) fn clear(&mut self, mut free: impl FnMut(Contents)) -> usize {
        let slots = std::mem::replace(&mut self.slots, Slots::nothing());
        let mut next = slots.next(0);
        while let Some((place, entry)) = next {
            self.disown(entry).into_iter().for_each(&mut free);
            next = slots.next(place + 1);
        }
        slots.len()
    }

    /// Counts a reader of the slot at `place`. Returns `false` when no more can be counted.
    pub(crate) fn pin(&mut self, place: u16) -> bool {
        let pinned = self.slots.get(place).pinned();
        if let Some(entry) = pinned {
            self.slots.update(place, entry);
        }
        pinned.is_some()
    }

    /// Counts a reader of `contents`, pinned at `place`, off again.
    pub(crate) fn unpin(&mut self, place: u16, contents: Contents) -> Unpinned {
        let entry = self.slots.get(place);
        if entry.contents() == Some(contents) {
            self.slots.update(place, entry.unpinned());
            return Unpinned::Present;
        }
        let Some(at) = self.orphans.iter().position(|orphan| orphan.contents() == Some(contents)) else {
            debug_assert!(false, "a pinned page is in its place or among the orphans");
            return Unpinned::Replaced(None);
        };
        self.orphans[at] = self.orphans[at].unpinned();
        if self.orphans[at].pins() > 0 {
            return Unpinned::Replaced(None);
        }
        self.orphans.swap_remove(at);
        Unpinned::Replaced(Some(contents))
    }

    fn disown(&mut self, old: Entry) -> Removed {
        if old.pins() > 0 {
            self.orphans.push(old);
            return None;
        }
        old.contents()
    }
}

/// What a reader finds when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpinned {
    /// The page it read is still in its place.
    Present,
    /// It is not; what it held may be freed now.
    Replaced(Removed),
}

#[cfg(test)]
mod tests {
    use super::super::entry::Tier;
    use super::*;
    use crate::arena::Slot;

    fn stored(place: u64) -> Contents {
        Contents::Stored(Tier::Lz4, Slot::new(place, 100))
    }

    #[test]
    fn a_pinned_page_is_freed_by_its_last_reader() {
        let leaf = Leaf::new(PoolKind::Persistent);
        let mut state = leaf.lock();
        state.insert(3, Entry::new(stored(7)));
        assert!(state.pin(3) && state.pin(3));
        assert_eq!(state.insert(3, Entry::new(stored(8))), (true, None));
        assert_eq!(state.unpin(3, stored(7)), Unpinned::Replaced(None));
        assert_eq!(state.unpin(3, stored(7)), Unpinned::Replaced(Some(stored(7))));
        assert_eq!(state.get(3).contents(), Some(stored(8)));
    }

    #[test]
    fn an_unpinned_page_is_freed_at_once() {
        let leaf = Leaf::new(PoolKind::Persistent);
        let mut state = leaf.lock();
        state.insert(3, Entry::new(stored(7)));
        assert!(state.pin(3));
        assert_eq!(state.unpin(3, stored(7)), Unpinned::Present);
        assert_eq!(state.remove(3), (true, Some(stored(7))));
        assert_eq!(state.remove(3), (false, None));
    }
}
