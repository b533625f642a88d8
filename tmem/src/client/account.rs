//! Every page is counted once when it comes, once when it can no more be found, and once when its memory is free.

use crate::hand::Hand;
use crate::index::{Contents, Leaf, LeafState, Object, Objects, Pool, Tier};
use crate::key::PoolKind;
use crate::statistics::Counter;

use super::Client;

/// The gauge of pages that a get can find.
pub(super) fn pages_of(kind: PoolKind) -> Counter {
    match kind {
        PoolKind::Persistent => Counter::PersistentPages,
        PoolKind::Ephemeral => Counter::EphemeralPages,
    }
}

/// The gauge of stored bytes.
fn bytes_of(kind: PoolKind) -> Counter {
    match kind {
        PoolKind::Persistent => Counter::PersistentBytes,
        PoolKind::Ephemeral => Counter::EphemeralBytes,
    }
}

/// The gauges of pages and bytes.
fn gauges_of(contents: Contents) -> (Counter, Counter) {
    match contents {
        Contents::Shared(_) => (Counter::SharedPages, Counter::SharedBytes),
        Contents::Staged(_) => (Counter::StagedPages, Counter::StagedBytes),
        Contents::Fill(_) | Contents::Stored(Tier::SameFilled, _) => {
            (Counter::SameFilledPages, Counter::SameFilledBytes)
        }
        Contents::Stored(Tier::Raw, _) => (Counter::RawPages, Counter::RawBytes),
        Contents::Stored(Tier::Lz4, _) => (Counter::Lz4Pages, Counter::Lz4Bytes),
        Contents::Stored(Tier::Zstd, _) => (Counter::ZstdPages, Counter::ZstdBytes),
        Contents::Stored(Tier::PageLz, _) => (Counter::PageLzPages, Counter::PageLzBytes),
    }
}

/// Heap bytes of a leaf without its entries.
pub(super) const LEAF_BYTES: usize = Leaf::BYTES + Hand::PLACE_BYTES;

/// Heap bytes of an object without leaves, its share of the pool's map included.
pub(super) const OBJECT_BYTES: usize = Object::BYTES + Objects::SHARE_BYTES;

impl Client {
    /// A page can be found from now on, under a key that had none. The caller holds the leaf.
    pub(super) fn count_page(&self, pool: &Pool, object: &Object) {
        object.add_page();
        pool.add_page();
        self.counters.count(pages_of(pool.kind()));
    }

    /// A page cannot be found any more. The caller holds the leaf.
    pub(super) fn uncount_page(&self, pool: &Pool, object: &Object) {
        object.subtract_pages(1);
        pool.subtract_pages(1);
        self.counters.subtract(pages_of(pool.kind()), 1);
    }

    /// Pages cannot be found any more, and wait to be freed.
    pub(super) fn count_detached(&self, kind: PoolKind, pages: u64) {
        self.counters.subtract(pages_of(kind), pages);
        self.counters.add(Counter::DetachedPages, pages);
    }

    /// Contents are in the index from now on.
    pub(super) fn count_contents(&self, kind: PoolKind, contents: Contents) {
        let (pages, bytes) = gauges_of(contents);
        let stored = contents.stored_bytes() as u64;
        self.counters.count(pages);
        self.counters.add(bytes, stored);
        self.counters.add(bytes_of(kind), stored);
    }

    /// Frees contents that left the index, and that no reader holds.
    pub(super) fn release(&self, kind: PoolKind, contents: Contents) {
        let (pages, bytes) = gauges_of(contents);
        let stored = contents.stored_bytes() as u64;
        self.counters.subtract(pages, 1);
        self.counters.subtract(bytes, stored);
        self.counters.subtract(bytes_of(kind), stored);
        self.free(kind, contents);
    }

    /// Frees the place of contents that nobody can reach: whoever calls took them out of their entry (or never entered
    /// them) and found no reader.
    pub(super) fn free(&self, kind: PoolKind, contents: Contents) {
        match contents {
            Contents::Fill(_) => {}
            Contents::Shared(id) => self.free_share(kind, self.dedup(kind).shares.release(id, &self.quota)),
            Contents::Staged(page) => self.staging.give(page),
            // SAFETY: the arena made the slot for this kind of pool, and the caller has its only trace.
            Contents::Stored(_, slot) => unsafe { self.arena.free(kind, slot, &self.quota) },
        }
    }

    /// A page with a slot of its own has become the first of a share.
    pub(super) fn count_shared(&self, stored: Contents) {
        let (pages, bytes) = gauges_of(stored);
        let len = stored.stored_bytes() as u64;
        self.counters.subtract(pages, 1);
        self.counters.subtract(bytes, len);
        self.counters.count(Counter::SharedPages);
        self.counters.add(Counter::SharedBytes, len);
    }

    /// Frees the slot of a share, if it was the end of that.
    pub(super) fn free_share(&self, kind: PoolKind, stored: Option<Contents>) {
        let Some(stored) = stored else { return };
        let len = stored.stored_bytes() as u64;
        self.counters.subtract(Counter::SharedBytes, len);
        self.counters.subtract(bytes_of(kind), len);
        self.free(kind, stored);
    }

    /// Takes a page out of an attached leaf. Returns whether there was one; the caller holds tree and leaf.
    pub(super) fn remove_page(&self, pool: &Pool, object: &Object, state: &mut LeafState, place: u16) -> bool {
        let before = state.heap_bytes();
        let (present, removed) = state.remove(place);
        self.quota.refund_metadata(before - state.heap_bytes());
        if present {
            self.uncount_page(pool, object);
        }
        if let Some(contents) = removed {
            self.release(pool.kind(), contents);
        }
        present
    }
}
