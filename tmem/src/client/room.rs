//! Getting memory back: from flushed trees, from empty slabs, from ephemeral pages.

use std::sync::Arc;

use crate::detached::Freed;
use crate::hand::Hand;
use crate::index::{Leaf, Object, Pool, PoolPlace, Pools};
use crate::key::{PAGE_SIZE, PoolKind};
use crate::statistics::Counter;

use super::Client;
use super::account::{LEAF_BYTES, OBJECT_BYTES};
use super::evict::Bound;

/// Flushed pages that a call of the guest frees on its way.
const RECLAIM_PAGES: u64 = 128;
/// Ephemeral pages that a put at its limit evicts before it tries again.
const EVICT_PAGES: usize = 32;
/// Leaves that such a put looks at for pages that the policy lets go; where there are none, those of the next ones go.
const EVICT_LEAVES: usize = 64;

/// Memory given back that is enough for a put whatever it needs.
const ENOUGH_BYTES: usize = 4 * PAGE_SIZE;

impl Client {
    /// Gives back at least `bytes` of resident memory held by ephemeral pages, if they hold as much. Returns the bytes
    /// that are back at the host.
    pub fn flush_ephemeral(&self, bytes: u64) -> u64 {
        let before = self.quota.used();
        let freed = || before.saturating_sub(self.quota.used());
        if bytes > 0 {
            self.release_unused();
        }
        // What a guest puts meanwhile is not asked for: a busy one must not keep the caller here.
        let mut left = self.statistics().ephemeral_pages;
        let leaves = || self.hands(PoolKind::Ephemeral).iter().map(Hand::leaves).sum::<usize>();
        // Others free meanwhile: looked at once a round.
        while let missing @ 1.. = bytes.saturating_sub(freed())
            && left > 0
        {
            let missing = usize::try_from(missing).unwrap_or(usize::MAX);
            // Every page is spared three times at most.
            let bound = Bound { pages: (missing / PAGE_SIZE).max(EVICT_PAGES), leaves: 4 * leaves() + 64 };
            let evicted = self.evict(bound);
            self.release_idle();
            if evicted == 0 {
                break;
            }
            left = left.saturating_sub(evicted as u64);
            self.sleepers.wake();
        }
        freed()
    }

    /// Frees up to `max_pages` pages that were flushed, and when none are left gives all unused memory back; for the host's
    /// idle time. Returns how many pages (and pools, objects, empty leaves) it freed; 0 when there is nothing left to do.
    pub fn reclaim(&self, max_pages: u64) -> u64 {
        let freed = self.reclaim_detached(max_pages);
        if freed == 0 {
            self.release_unused();
        }
        freed
    }

    /// Whether flushed pages wait for [`Client::reclaim`], those of a pool that another thread still uses included.
    pub fn has_detached(&self) -> bool {
        self.detached.len() > 0
    }

    /// What each flush of the guest does for those before it.
    pub(super) fn reclaim_some(&self) {
        self.reclaim_detached(RECLAIM_PAGES);
    }

    /// Makes a bounded amount of room for a put. Returns whether there may be some now.
    pub(super) fn make_room(&self) -> bool {
        if self.reclaim_detached(RECLAIM_PAGES) > 0 {
            return true;
        }
        // What is staged takes more than it must.
        let mut left = 0..EVICT_PAGES;
        self.compress_staged(u64::MAX, || left.next().is_some());
        // A put needs memory for data and for the index: a page alone, of a slab that this very put had to give up for
        // want of the other, is not enough to stop at.
        // No more than that goes back to the host: what is left is for the next put's data, and each call interrupts the
        // other CPUs.
        let released = self.arena.release_idle(ENOUGH_BYTES, &self.quota);
        let released = if released > 0 { released } else { self.staging.release(&self.quota) };
        released >= ENOUGH_BYTES || self.evict_for_a_put() > 0 || released > 0
    }

    /// Evicts some pages to make room for one. Returns how many.
    pub(super) fn evict_for_a_put(&self) -> usize {
        self.evict(Bound { pages: EVICT_PAGES, leaves: EVICT_LEAVES })
    }

    /// Gives back to the host what is resident and holds nothing. Returns the bytes.
    pub(super) fn release_idle(&self) -> usize {
        self.arena.release_idle(usize::MAX, &self.quota) + self.staging.release(&self.quota)
    }

    /// The same, and what slabs in use have not begun to use.
    pub(super) fn release_unused(&self) -> usize {
        let bytes = self.release_idle() + self.arena.trim(&self.quota);
        if bytes > 0 {
            self.sleepers.wake();
        }
        bytes
    }

    /// Whether the client holds no more than its limit, if need be after making some room.
    pub(super) fn is_within_limit(&self) -> bool {
        if self.quota.excess() > 0 {
            // After a cut nothing is kept for later.
            self.release_idle();
        }
        self.quota.excess() == 0 || (self.make_room() && self.quota.excess() == 0)
    }

    /// Removes the leaf `number` if it is empty, and then the object if that is. Returns whether the leaf is gone.
    pub(super) fn prune(&self, pool: &Pool, object: &Arc<Object>, number: u32) -> bool {
        let (gone, emptied) = {
            let mut tree = object.tree().write();
            if object.is_cut_off() {
                return true;
            }
            let bytes = tree.get(number).and_then(|leaf| {
                let mut state = leaf.lock();
                state.attached = !state.is_empty();
                (!state.attached).then(|| LEAF_BYTES + state.heap_bytes())
            });
            if let Some(bytes) = bytes {
                let before = tree.heap_bytes();
                if let Some(leaf) = tree.remove(number) {
                    self.forget_leaf(
                        (pool.kind(), Pools::place_of(pool.id())),
                        &leaf,
                        bytes + before - tree.heap_bytes(),
                    );
                }
            }
            (tree.get(number).is_none(), tree.is_empty())
        };
        if emptied {
            self.remove_if_empty(pool, object);
        }
        gone
    }

    /// Removes an object without leaves from its pool.
    pub(super) fn remove_if_empty(&self, pool: &Pool, object: &Arc<Object>) {
        if pool.remove_if_empty(object) {
            self.pools.forget(object);
            self.forget_object();
        }
    }

    fn forget_object(&self) {
        self.quota.refund_metadata(OBJECT_BYTES);
        self.counters.subtract(Counter::Objects, 1);
    }

    /// Forgets a leaf of a pool of this kind and place.
    fn forget_leaf(&self, (kind, place): (PoolKind, PoolPlace), leaf: &Leaf, bytes: usize) {
        self.quota.refund_metadata(bytes);
        self.hand(kind, place).leave(leaf);
        self.dedup(kind).forget(leaf, &self.quota);
    }

    /// Frees up to `max_pages` flushed pages. Returns how many pages, pools, objects and empty leaves.
    pub(super) fn reclaim_detached(&self, max_pages: u64) -> u64 {
        let mut freed = 0;
        while freed < max_pages {
            freed += match self.detached.free_next() {
                None => break,
                Some(Freed::Pool { kind, pages }) => {
                    self.counters.add(Counter::PagesFlushedByPool, pages);
                    self.count_detached(kind, pages);
                    self.quota.refund_metadata(Pools::POOL_BYTES);
                    1
                }
                Some(Freed::Object { tree_bytes }) => {
                    self.quota.refund_metadata(tree_bytes);
                    self.forget_object();
                    1
                }
                Some(Freed::Leaf(leaf)) => self.free_leaf(&leaf).max(1),
            };
        }
        freed
    }

    /// Frees the pages of a leaf that was cut off. Those that a get is copying are freed by it.
    fn free_leaf(&self, leaf: &Leaf) -> u64 {
        let mut state = leaf.lock();
        let (kind, place) = (state.kind, state.place);
        state.attached = false;
        let bytes = LEAF_BYTES + state.heap_bytes();
        let pages = state.clear(|contents| self.release(kind, contents)) as u64;
        drop(state);
        self.forget_leaf((kind, place), leaf, bytes);
        self.counters.subtract(Counter::DetachedPages, pages);
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Contents, LEAF_PAGES};
    use crate::{ClientConfig, Key, ObjectId};

    #[test]
    fn while_one_thread_frees_another_finds_the_rest() {
        let client = Client::new(ClientConfig::new(1 << 30, [0; 2])).unwrap();
        let id = client.pool_new(PoolKind::Persistent).unwrap();
        let pool = client.pool(id).unwrap();
        for leaf in 0..3 {
            let key = Key { pool: id, object: ObjectId([1; 3]), index: leaf * u32::from(LEAF_PAGES) };
            client.enter(&pool, key, Contents::Fill(1)).unwrap();
        }
        client.close(client.pools.remove(id).unwrap());
        assert!(client.detached.free_next().is_none(), "a pool in use is left alone");
        drop(pool);
        let mut leaves = 0;
        while leaves < 3 {
            assert!(client.has_detached(), "{leaves} of 3 leaves are freed");
            leaves += usize::from(matches!(client.detached.free_next(), Some(Freed::Leaf(_))));
        }
        assert!(client.detached.free_next().is_none() && !client.has_detached());
    }
}
