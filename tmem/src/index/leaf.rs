//! The entries of 512 neighbouring indexes, behind one lock.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};

use crate::key::PoolKind;
use crate::lock::{Guard, Lock};

use super::entry::{Contents, Entry};
use super::heap::shared_bytes;
use super::object::Object;
use super::pools::PoolPlace;
pub(crate) use super::slots::LEAF_PAGES;
use super::slots::Slots;

/// A leaf of an object's tree.
#[derive(Debug)]
pub(crate) struct Leaf {
    object: Weak<Object>,
    number: u32,
    /// Where it is among all leaves; the hand's.
    pub(crate) position: AtomicU32,
    state: Lock<LeafState>,
}

/// What a leaf's lock protects.
#[derive(Debug)]
pub(crate) struct LeafState {
    /// Whether the leaf is in its object's tree. One that is not never gets another page, and its pages are counted
    /// as detached.
    pub(crate) attached: bool,
    /// Kind of the pool that the leaf belongs to.
    pub(crate) kind: PoolKind,
    /// Place of that pool.
    pub(crate) place: PoolPlace,
    /// Its number for the hints of deduplication, if it has one.
    pub(crate) hinted: Option<NonZeroU32>,
    slots: Slots,
    /// Pinned entries that were replaced or removed; their last reader frees them. Rare, so they cost a pointer.
    #[expect(clippy::box_collection, reason = "a vector's capacity and length would be in every leaf")]
    orphans: Option<Box<Vec<Entry>>>,
}

impl Leaf {
    /// Heap bytes of a leaf with room for one entry.
    pub(crate) const BYTES: usize = shared_bytes::<Self>();

    /// The leaf of that number of an object, which is in a pool of this kind and place.
    pub(crate) fn new(object: Weak<Object>, number: u32, kind: PoolKind, place: PoolPlace) -> Self {
        let state = LeafState { attached: true, kind, place, hinted: None, slots: Slots::new(), orphans: None };
        Self { object, number, position: AtomicU32::new(0), state: Lock::new(state) }
    }

    /// The object, while it lives.
    pub(crate) fn object(&self) -> Option<Arc<Object>> {
        self.object.upgrade()
    }

    /// Which part of the object's indexes it covers.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn lock(&self) -> Guard<'_, LeafState> {
        self.state.lock()
    }

    /// The leaf that covers `index`, and the place in it.
    #[allow(clippy::cast_possible_truncation, reason = "a remainder of 512 fits")]
    pub(crate) fn of(index: u32) -> (u32, u16) {
        let pages = u32::from(LEAF_PAGES);
        (index / pages, (index % pages) as u16)
    }
}

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
        self.orphans.is_some()
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

    /// Says where the page at `place` is from now on; what it was in is not freed. Nobody reads it.
    pub(crate) fn rename(&mut self, place: u16, entry: Entry) {
        debug_assert_eq!(self.slots.get(place).pins(), 0, "a reader would not find its pin again");
        self.slots.update(place, entry);
    }

    /// Takes the page at `place` out. Returns whether there was one, and what of it can be freed now.
    pub(crate) fn remove(&mut self, place: u16) -> (bool, Removed) {
        let old = self.slots.remove(place);
        (!old.is_absent(), self.disown(old))
    }

    /// Takes every page out, hands those that no reader holds to `free`, and returns how many there were.
    pub(crate) fn clear(&mut self, mut free: impl FnMut(Contents)) -> usize {
        let slots = std::mem::replace(&mut self.slots, Slots::new());
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
        let orphans = self.orphans.as_deref_mut().map_or(&mut [][..], Vec::as_mut_slice);
        let Some(at) = orphans.iter().position(|orphan| orphan.contents() == Some(contents)) else {
            debug_assert!(false, "a pinned page is in its place or among the orphans");
            return Unpinned::Replaced(None);
        };
        orphans[at] = orphans[at].unpinned();
        if orphans[at].pins() > 0 {
            return Unpinned::Replaced(None);
        }
        if let Some(orphans) = &mut self.orphans {
            orphans.swap_remove(at);
        }
        self.orphans.take_if(|orphans| orphans.is_empty());
        Unpinned::Replaced(Some(contents))
    }

    fn disown(&mut self, old: Entry) -> Removed {
        if old.pins() > 0 {
            self.orphans.get_or_insert_default().push(old);
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

    fn leaf() -> Leaf {
        Leaf::new(Weak::new(), 0, PoolKind::Persistent, 0)
    }

    #[cfg(not(loom))]
    #[test]
    fn a_leaf_fits_a_block_of_80_bytes() {
        assert_eq!(Leaf::BYTES, 80);
    }

    fn stored(place: u64) -> Contents {
        Contents::Stored(Tier::Lz4, Slot::new(place, 100))
    }

    #[test]
    fn a_pinned_page_is_freed_by_its_last_reader() {
        let leaf = leaf();
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
        let leaf = leaf();
        let mut state = leaf.lock();
        state.insert(3, Entry::new(stored(7)));
        assert!(state.pin(3));
        assert_eq!(state.unpin(3, stored(7)), Unpinned::Present);
        assert_eq!(state.remove(3), (true, Some(stored(7))));
        assert_eq!(state.remove(3), (false, None));
    }
}
