//! Invalidating pages.
//!
//! What is flushed whole is cut off in one step and freed later, a bounded number of pages with each call.

use std::sync::Arc;

use hypercall_abi::Status;

use crate::index::{LEAF_PAGES, Leaf, Object, ObjectInUse, Pool, PoolInUse};
use crate::key::{Key, ObjectId};
use crate::statistics::Counter;

use super::Client;

/// Number of indexes of an object.
const INDEXES: u64 = 1 << 32;

impl Client {
    /// Invalidates `count` indexes of an object from `first` on. The cost grows with the leaves present, not with `count`.
    ///
    /// Answers `OK`, `BAD_POOL`, or `BAD_ARGUMENT` for a range beyond the last index.
    pub fn flush_range(&self, pool: u32, object: ObjectId, first: u32, count: u64) -> Status {
        let Some(pool) = self.pool(pool) else {
            self.counters.count(Counter::FlushesBadPool);
            return Status::BadPool;
        };
        if count > INDEXES - u64::from(first) {
            self.counters.count(Counter::FlushesBadArgument);
            return Status::BadArgument;
        }
        let pages = if count == INDEXES {
            self.cut_off(&pool, object)
        } else if let Some(more) = u32::try_from(count).ok().and_then(|count| count.checked_sub(1)) {
            let flush = |object: ObjectInUse<'_>| self.flush_indexes(&pool, &object, first, first + more);
            self.pools.object(&pool, object).map_or(0, flush)
        } else {
            0
        };
        self.counters.count(Counter::RangeFlushes);
        self.counters.add(Counter::PagesFlushedByRange, pages);
        self.reclaim_some();
        self.sleepers.wake();
        Status::Ok
    }

    /// Invalidates an object, in a time that does not depend on its size.
    ///
    /// Answers `OK` or `BAD_POOL`.
    pub fn flush_object(&self, pool: u32, object: ObjectId) -> Status {
        let Some(pool) = self.pool(pool) else {
            self.counters.count(Counter::FlushesBadPool);
            return Status::BadPool;
        };
        let pages = self.cut_off(&pool, object);
        self.counters.count(Counter::ObjectFlushes);
        self.counters.add(Counter::PagesFlushedByObject, pages);
        self.reclaim_some();
        self.sleepers.wake();
        Status::Ok
    }

    /// Takes the page under `key` out, after a put of it failed. Returns whether there was one.
    pub(super) fn drop_page(&self, pool: &PoolInUse, key: Key) -> bool {
        let flush = |object: ObjectInUse<'_>| self.flush_indexes(pool, &object, key.index, key.index);
        self.pools.object(pool, key.object).map_or(0, flush) > 0
    }

    /// Cuts an object's tree off; its pages wait to be freed. Returns their number.
    pub(super) fn cut_off(&self, pool: &Pool, id: ObjectId) -> u64 {
        let Some(object) = pool.cut_off(id) else { return 0 };
        let pages = object.pages();
        self.pools.forget(&object);
        pool.subtract_pages(pages);
        self.count_detached(pool.kind(), pages);
        self.detached.push_object(object);
        pages
    }

    /// Invalidates the indexes `first` to `last`. Returns the number of pages.
    fn flush_indexes(&self, pool: &Pool, object: &Arc<Object>, first: u32, last: u32) -> u64 {
        let (first_leaf, first_place) = Leaf::of(first);
        let (last_leaf, last_place) = Leaf::of(last);
        let end_place = LEAF_PAGES - 1;
        if first_leaf == last_leaf && (first_place, last_place) != (0, end_place) {
            return self.flush_places(pool, object, first_leaf, first_place, last_place);
        }
        // Whole leaves are cut off; what is left at both ends is less than one each.
        let mut pages = 0;
        let mut whole = (u64::from(first_leaf), u64::from(last_leaf) + 1);
        if first_place != 0 {
            pages += self.flush_places(pool, object, first_leaf, first_place, end_place);
            whole.0 += 1;
        }
        if last_place != end_place {
            pages += self.flush_places(pool, object, last_leaf, 0, last_place);
            whole.1 -= 1;
        }
        pages + self.cut_off_leaves(pool, object, whole.0, whole.1)
    }

    /// Invalidates places of one leaf.
    fn flush_places(&self, pool: &Pool, object: &Arc<Object>, number: u32, first: u16, last: u16) -> u64 {
        let mut pages = 0;
        let emptied = {
            let tree = object.tree().read();
            let Some(leaf) = tree.get(number).filter(|_| !object.is_cut_off()) else { return 0 };
            let mut state = leaf.lock();
            let mut next = state.next(first);
            while let Some((place, _)) = next.filter(|(place, _)| *place <= last) {
                pages += u64::from(self.remove_page(pool, object, &mut state, place));
                next = state.next(place + 1);
            }
            pages > 0 && state.is_empty()
        };
        if emptied {
            self.prune(pool, object, number);
        }
        pages
    }

    /// Cuts off the leaves numbered `first` to before `end`; their pages wait to be freed.
    fn cut_off_leaves(&self, pool: &Pool, object: &Arc<Object>, first: u64, end: u64) -> u64 {
        let (Ok(first), Ok(last)) = (u32::try_from(first), u32::try_from(end.saturating_sub(1))) else { return 0 };
        if first > last {
            return 0;
        }
        let mut tree = object.tree().write();
        if object.is_cut_off() {
            return 0;
        }
        let before = tree.heap_bytes();
        let leaves = tree.remove_range(first..=last);
        self.quota.refund_metadata(before - tree.heap_bytes());
        let mut pages = 0;
        for leaf in &leaves {
            let mut state = leaf.lock();
            state.attached = false;
            pages += state.len() as u64;
        }
        object.subtract_pages(pages);
        pool.subtract_pages(pages);
        self.count_detached(pool.kind(), pages);
        let emptied = tree.is_empty();
        drop(tree);
        if !leaves.is_empty() {
            self.detached.push_leaves(Box::new(leaves.into_iter()));
        }
        if emptied {
            self.remove_if_empty(pool, object);
        }
        pages
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::index::Contents;
    use crate::{ClientConfig, PoolKind};

    #[test]
    fn a_flush_of_what_another_is_flushing_returns_when_it_is_gone() {
        let client = Client::new(ClientConfig::new(1 << 30, [0; 2])).unwrap();
        let id = client.pool_new(PoolKind::Persistent).unwrap();
        let pool = client.pool(id).unwrap();
        let object = ObjectId([1; 3]);
        let key = |index| Key { pool: id, object, index };
        (0..3 * u32::from(LEAF_PAGES)).for_each(|index| client.enter(&pool, key(index), Contents::Fill(1)).unwrap());
        // Large enough to be found without its pool's map.
        let large = client.pools.object(&pool, object).map(|object| Arc::clone(&object)).unwrap();
        let returned = AtomicUsize::new(0);
        thread::scope(|scope| {
            let tree = large.tree().read();
            for _ in 0..2 {
                scope.spawn(|| {
                    assert_eq!(client.flush_object(id, object), Status::Ok);
                    assert!(client.pools.object(&client.pool(id).unwrap(), object).is_none());
                    returned.fetch_add(1, Ordering::Relaxed);
                });
            }
            thread::sleep(Duration::from_millis(50));
            assert_eq!((large.is_cut_off(), returned.load(Ordering::Relaxed)), (false, 0));
            drop(tree);
        });
        assert!(large.is_cut_off());
    }
}
