//! Storing a page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hypercall_abi::Status;

use crate::arena::NoRoom;
use crate::codec::{Packed, Scratch, in_entry, with_scratch};
use crate::guest::GuestPages;
use crate::index::{Contents, Entry, Leaf, Object, Pool, PoolInUse, Pools};
use crate::key::{Key, PoolKind};
use crate::statistics::Counter;

use super::Client;
use super::account::{LEAF_BYTES, OBJECT_BYTES};

/// How often a put makes room, or starts again on a new tree, before it is rejected.
const ATTEMPTS: usize = 8;

/// Why a page could not be entered into the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The tree was cut off meanwhile: there is a new one, or none.
    Detached,
    /// The metadata would exceed the limit.
    OverLimit,
    /// The client is frozen, and the page is new or needs more room than the one it would replace.
    Frozen,
}

impl Client {
    /// Stores the page at `frame` under `key`; the guest may reuse the frame at once.
    ///
    /// Answers `OK`, a rejection (`NO_SPACE`, `OVER_LIMIT`, `FROZEN`, `POOR_RATIO`, `BUSY`), `BAD_POOL` or
    /// `BAD_ADDRESS`. After anything but `OK` an older page under this key is gone too.
    pub fn put(&self, key: Key, frame: u64, memory: &impl GuestPages) -> Status {
        let Some(pool) = self.pool(key.pool) else {
            self.counters.count(Counter::PutsBadPool);
            return Status::BadPool;
        };
        let status = self.put_into(&pool, key, frame, memory);
        if status != Status::Ok && self.drop_page(&pool, key) {
            self.counters.count(Counter::PagesDroppedByPut);
        }
        self.counters.count(match status {
            Status::Ok => Counter::PutsAccepted,
            Status::NoSpace => Counter::PutsNoSpace,
            Status::Frozen => Counter::PutsFrozen,
            Status::PoorRatio => Counter::PutsPoorRatio,
            Status::Busy => Counter::PutsBusy,
            Status::BadPool => Counter::PutsBadPool,
            Status::BadAddress => Counter::PutsBadAddress,
            _ => Counter::PutsOverLimit,
        });
        self.sleepers.wake();
        status
    }

    fn put_into(&self, pool: &PoolInUse, key: Key, frame: u64, memory: &impl GuestPages) -> Status {
        if self.is_frozen() && !self.holds(pool, key) {
            return Status::Frozen;
        }
        if pool.kind() == PoolKind::Ephemeral {
            if self.refuses_ephemeral.load(Ordering::Relaxed) || !self.has_ephemeral_room() {
                return Status::OverLimit;
            }
            return self.put_within_limit(pool, key, frame, memory);
        }
        if self.acceptance.is_closed() && !self.has_emptied() && !self.holds(pool, key) {
            return Status::OverLimit;
        }
        let status = self.put_within_limit(pool, key, frame, memory);
        if matches!(status, Status::OverLimit | Status::NoSpace) {
            self.note_full();
        }
        status
    }

    /// Puts a page that nothing but a want of room, or the page itself, is in the way of.
    fn put_within_limit(&self, pool: &PoolInUse, key: Key, frame: u64, memory: &impl GuestPages) -> Status {
        if !self.is_within_limit() {
            return Status::OverLimit;
        }
        if self.stages()
            && let Some(page) = self.staging.take(key, &self.quota)
        {
            return self.stage(pool, key, frame, memory, page);
        }
        with_scratch(|scratch| {
            // The one read of the guest's page: whatever is decided is decided on this copy.
            if memory.read_page(frame, &mut scratch.page).is_err() {
                return Status::BadAddress;
            }
            self.store(pool, key, scratch)
        })
    }

    /// Whether puts may be answered before the page is compressed: not where the answer depends on what it compresses to.
    fn stages(&self) -> bool {
        self.config.staging_bytes > 0 && !self.asks_for_ratio() && !self.is_frozen()
    }

    /// Stores a page as it is, in a page of the staging buffer that was taken for it.
    fn stage(&self, pool: &PoolInUse, key: Key, frame: u64, memory: &impl GuestPages, page: u32) -> Status {
        let staged = Contents::Staged(page);
        // SAFETY: the page was taken for this put, and is not in the index yet.
        let copy = unsafe { self.staging.page_mut(page) };
        // The one read of the guest's page: whatever is decided is decided on this copy.
        if memory.read_page(frame, copy).is_err() {
            self.free(pool.kind(), staged);
            return Status::BadAddress;
        }
        let contents = in_entry(copy).map_or(staged, Contents::Fill);
        let entered = self.enter(pool, key, contents);
        let status = if entered.is_ok() {
            Status::Ok
        } else {
            // Whatever was in the way, the long way knows what to do about it.
            with_scratch(|scratch| {
                *scratch.page = *copy;
                self.store(pool, key, scratch)
            })
        };
        match entered {
            Ok(()) if contents == staged => self.counters.count(Counter::PutsStaged),
            _ => self.free(pool.kind(), staged),
        }
        status
    }

    fn store(&self, pool: &PoolInUse, key: Key, scratch: &mut Scratch) -> Status {
        let packed = scratch.pack(self.config.codec);
        if !self.is_worth_its_place(packed) {
            return Status::PoorRatio;
        }
        let mut status = Status::Busy;
        for _ in 0..ATTEMPTS {
            let contents = match self.place(pool.kind(), packed) {
                Ok(contents) => contents,
                Err(no_room) => {
                    status = match no_room {
                        NoRoom::OverLimit => Status::OverLimit,
                        NoRoom::ArenaFull => Status::NoSpace,
                    };
                    if self.make_room() {
                        continue;
                    }
                    return status;
                }
            };
            let Err(refused) = self.enter(pool, key, contents) else { return Status::Ok };
            self.free(pool.kind(), contents);
            match refused {
                Refused::Frozen => return Status::Frozen,
                Refused::Detached if pool.is_closed() => return Status::BadPool,
                Refused::Detached => status = Status::Busy,
                Refused::OverLimit => {
                    status = Status::OverLimit;
                    if !self.make_room() {
                        return status;
                    }
                }
            }
        }
        status
    }

    /// Finds room in the arena and fills it.
    pub(super) fn place(&self, kind: PoolKind, packed: Packed<'_>) -> Result<Contents, NoRoom> {
        match packed {
            Packed::Fill(word) => Ok(Contents::Fill(word)),
            Packed::Stored(tier, bytes) => {
                self.arena.store(kind, bytes, &self.quota).map(|slot| Contents::Stored(tier, slot))
            }
        }
    }

    /// Makes a page visible under its key.
    pub(super) fn enter(&self, pool: &PoolInUse, key: Key, contents: Contents) -> Result<(), Refused> {
        let object = self.pools.object_or(pool, key.object, || self.new_object(key)).ok_or(Refused::OverLimit)?;
        let (number, place) = Leaf::of(key.index);
        let entered = self.enter_into(pool, &object, number, place, contents);
        if entered.is_err() {
            // An object or a leaf made for this page alone goes again.
            self.prune(pool, &object, number);
        }
        entered
    }

    fn new_object(&self, key: Key) -> Option<Object> {
        self.quota.try_charge_metadata(OBJECT_BYTES).ok()?;
        self.counters.count(Counter::Objects);
        Some(Object::new(key.object, key.pool))
    }

    fn enter_into(
        &self,
        pool: &Pool,
        object: &Arc<Object>,
        number: u32,
        place: u16,
        contents: Contents,
    ) -> Result<(), Refused> {
        let replaced = {
            let tree = object.tree().read();
            if object.is_cut_off() {
                return Err(Refused::Detached);
            }
            tree.get(number).map(|leaf| self.enter_leaf(pool, object, leaf, place, contents))
        };
        let replaced = match replaced {
            Some(replaced) => replaced?,
            None => self.enter_new_leaf(pool, object, number, place, contents)?,
        };
        if let Some(contents) = replaced {
            self.release(pool.kind(), contents);
        }
        Ok(())
    }

    fn enter_new_leaf(
        &self,
        pool: &Pool,
        object: &Arc<Object>,
        number: u32,
        place: u16,
        contents: Contents,
    ) -> Result<Option<Contents>, Refused> {
        let mut tree = object.tree().write();
        if object.is_cut_off() {
            return Err(Refused::Detached);
        }
        if let Some(leaf) = tree.get(number) {
            return self.enter_leaf(pool, object, leaf, place, contents);
        }
        let kind = pool.kind();
        let (before, after) = (tree.heap_bytes(), tree.heap_bytes_with(number));
        let bytes = LEAF_BYTES + after.saturating_sub(before);
        self.quota.try_charge_metadata(bytes).map_err(|_| Refused::OverLimit)?;
        let at = Pools::place_of(pool.id());
        let leaf = Arc::new(Leaf::new(Arc::downgrade(object), number, kind, at));
        self.hand(kind, at).enter(&leaf);
        tree.insert(Arc::clone(&leaf));
        self.quota.refund_metadata(before.saturating_sub(after));
        self.enter_leaf(pool, object, &leaf, place, contents)
    }

    /// Makes a page visible in a leaf of an attached tree, which the caller holds. Returns what can be freed.
    fn enter_leaf(
        &self,
        pool: &Pool,
        object: &Object,
        leaf: &Leaf,
        place: u16,
        contents: Contents,
    ) -> Result<Option<Contents>, Refused> {
        let mut state = leaf.lock();
        if self.is_frozen() {
            let room = state.get(place).contents().map(Contents::room);
            if room.is_none_or(|room| contents.room() > room) {
                return Err(Refused::Frozen);
            }
        }
        self.quota.try_charge_metadata(state.growth_bytes(place)).map_err(|_| Refused::OverLimit)?;
        let (duplicate, replaced) = state.insert(place, Entry::new(contents));
        self.count_contents(pool.kind(), contents);
        if duplicate {
            self.counters.count(Counter::PutsDuplicate);
        } else {
            self.count_page(pool, object);
        }
        Ok(replaced)
    }

    /// Whether there is a page under `key`.
    fn holds(&self, pool: &PoolInUse, key: Key) -> bool {
        let (number, place) = Leaf::of(key.index);
        self.pools.object(pool, key.object).is_some_and(|object| {
            let tree = object.tree().read();
            !object.is_cut_off() && tree.get(number).is_some_and(|leaf| !leaf.lock().get(place).is_absent())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientConfig, ObjectId};

    #[test]
    fn a_tree_that_was_cut_off_takes_no_page() {
        let client = Client::new(ClientConfig::new(1 << 30, [0; 2])).unwrap();
        let id = client.pool_new(PoolKind::Persistent).unwrap();
        let pool = client.pool(id).unwrap();
        let key = Key { pool: id, object: ObjectId([1; 3]), index: 0 };
        assert_eq!(client.enter(&pool, key, Contents::Fill(1)), Ok(()));
        // A put found the object; before it enters its page, the object is flushed.
        let object = client.pools.object(&pool, key.object).unwrap();
        assert_eq!(client.cut_off(&pool, key.object), 1);
        assert_eq!(client.enter_into(&pool, &object, 0, 0, Contents::Fill(2)), Err(Refused::Detached));
        assert_eq!(client.enter_into(&pool, &object, 9, 0, Contents::Fill(2)), Err(Refused::Detached));
        assert_eq!(client.enter(&pool, key, Contents::Fill(2)), Ok(()));
        assert!(client.holds(&pool, key));
    }
}
