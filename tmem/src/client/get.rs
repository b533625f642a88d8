//! Loading a page.

use std::sync::Arc;

use hypercall_abi::Status;

use crate::codec::{Scratch, with_scratch};
use crate::guest::GuestPages;
use crate::index::{Contents, Leaf, ObjectInUse, Pool, PoolInUse, Unpinned};
use crate::key::{Key, PoolKind};
use crate::prefetch::prefetch_to_read;
use crate::statistics::Counter;

use super::Client;
use super::staged::LOADED_WHILE_STAGED;

/// A page that was found. If it has a slot, that is pinned.
struct Found<'a> {
    object: ObjectInUse<'a>,
    leaf: Arc<Leaf>,
    number: u32,
    place: u16,
    contents: Contents,
    /// Where its bytes are: those of its share, if it has one.
    source: Contents,
}

/// Why a page that was found did not reach the guest.
enum CopyFault {
    BadFrame,
    Corrupt,
}

impl Client {
    /// Loads the page under `key` to `frame`; an exclusive get takes it out of the store, once it was copied.
    ///
    /// Answers `OK`, `MISS`, `EMPTY` (the pool holds no page), `BAD_POOL` or `BAD_ADDRESS`. The frame's contents are
    /// undefined unless the answer is `OK`; after `BAD_ADDRESS` the store is unchanged.
    pub fn get(&self, key: Key, frame: u64, exclusive: bool, memory: &impl GuestPages) -> Status {
        let Some(pool) = self.pool(key.pool) else {
            self.counters.count(Counter::GetsBadPool);
            return Status::BadPool;
        };
        let status = self.get_from(&pool, key, frame, exclusive, memory);
        self.counters.count(match status {
            Status::Ok => Counter::GetsHit,
            Status::Empty => Counter::GetsEmpty,
            Status::BadAddress => Counter::GetsBadAddress,
            _ => Counter::GetsMiss,
        });
        if status == Status::Ok && exclusive {
            self.counters.count(Counter::GetsExclusive);
        }
        if status == Status::Ok && pool.kind() == PoolKind::Ephemeral {
            pool.add_hit();
        }
        self.sleepers.wake();
        status
    }

    fn get_from(&self, pool: &PoolInUse, key: Key, frame: u64, exclusive: bool, memory: &impl GuestPages) -> Status {
        // While the page is looked up.
        memory.expect_write(frame);
        // An exclusive get whose page was replaced or taken while it copied starts again; each round means that
        // another call on this key succeeded.
        loop {
            let Some(found) = self.find(pool, key) else {
                return if pool.pages() == 0 { Status::Empty } else { Status::Miss };
            };
            let copied = with_scratch(|scratch| self.copy_out(found.source, frame, memory, scratch));
            let taken = if exclusive && copied.is_ok() {
                self.take(pool, &found)
            } else {
                self.let_go(pool, &found);
                false
            };
            match copied {
                Err(CopyFault::BadFrame) => return Status::BadAddress,
                Err(CopyFault::Corrupt) => {
                    self.counters.count(Counter::GetsCorrupt);
                    return Status::Miss;
                }
                Ok(()) if taken || !exclusive => return Status::Ok,
                Ok(()) => {}
            }
        }
    }

    /// Looks a page up and pins it.
    fn find<'a>(&self, pool: &'a PoolInUse, key: Key) -> Option<Found<'a>> {
        let (number, place) = Leaf::of(key.index);
        loop {
            let object = self.pools.object(pool, key.object)?;
            let tree = object.tree().read();
            if object.is_cut_off() {
                // It left the map before that, so the next look finds another one or none.
                continue;
            }
            let leaf = tree.get(number)?;
            let mut state = leaf.lock();
            let entry = state.get(place);
            let contents = entry.contents()?;
            let source = match contents {
                Contents::Shared(id) => self.dedup(pool.kind()).shares.pin(id)?,
                own => own,
            };
            if contents.is_pinned_by_entry() && !state.pin(place) {
                // As many readers as can be counted: any of them makes way.
                drop(state);
                drop(tree);
                std::thread::yield_now();
                continue;
            }
            let age = match (pool.kind(), contents) {
                (PoolKind::Ephemeral, _) => self.policy.hit(entry.age()),
                (PoolKind::Persistent, Contents::Staged(_)) => LOADED_WHILE_STAGED,
                // Young again, for the hand that recompresses.
                (PoolKind::Persistent, _) => 0,
            };
            if age != entry.age() {
                state.set_age(place, age);
            }
            self.expect_read(source);
            drop(state);
            let leaf = Arc::clone(leaf);
            drop(tree);
            return Some(Found { object, leaf, number, place, contents, source });
        }
    }

    /// Asks for the bytes of a pinned page while its locks are let go.
    fn expect_read(&self, source: Contents) {
        match source {
            Contents::Shared(_) | Contents::Fill(_) => {}
            // SAFETY: the page is pinned.
            Contents::Staged(page) => prefetch_to_read(unsafe { self.staging.page(page) }),
            // SAFETY: the slot is pinned.
            Contents::Stored(_, slot) => prefetch_to_read(unsafe { self.arena.bytes(slot) }),
        }
    }

    /// Copies a page to the guest, outside of all locks.
    fn copy_out(
        &self,
        source: Contents,
        frame: u64,
        memory: &impl GuestPages,
        scratch: &mut Scratch,
    ) -> Result<(), CopyFault> {
        let page = match source {
            Contents::Shared(_) => return Err(CopyFault::Corrupt),
            Contents::Fill(word) => scratch.unpack_fill(word),
            // SAFETY: the page is pinned, so it is not given back before `let_go`.
            Contents::Staged(page) => unsafe { self.staging.page(page) },
            Contents::Stored(tier, slot) => {
                // SAFETY: the slot is pinned, so it is not freed before `let_go`.
                let stored = unsafe { self.arena.bytes(slot) };
                scratch.unpack(tier, stored).map_err(|_| CopyFault::Corrupt)?
            }
        };
        memory.write_page(frame, page).map_err(|_| CopyFault::BadFrame)
    }

    /// Unpins a page.
    fn let_go(&self, pool: &Pool, found: &Found<'_>) {
        match found.contents {
            Contents::Fill(_) => {}
            Contents::Shared(id) => self.leave_share(pool.kind(), id),
            Contents::Staged(_) | Contents::Stored(..) => {
                let unpinned = found.leaf.lock().unpin(found.place, found.contents);
                self.release_orphan(pool.kind(), unpinned);
            }
        }
    }

    /// Unpins a page and takes it out of the store. Returns whether it did: only the very page that was found goes, and
    /// not once it was flushed.
    fn take(&self, pool: &Pool, found: &Found<'_>) -> bool {
        let Found { object, leaf, number, place, contents, .. } = found;
        let tree = object.tree().read();
        let mut state = leaf.lock();
        let unpinned = match contents {
            Contents::Staged(_) | Contents::Stored(..) => state.unpin(*place, *contents),
            // A word is its own copy, and a share has one for all: an equal page put meanwhile is the same page.
            Contents::Fill(_) | Contents::Shared(_) if state.get(*place).contents() == Some(*contents) => {
                Unpinned::Present
            }
            Contents::Fill(_) | Contents::Shared(_) => Unpinned::Replaced(None),
        };
        let taken = unpinned == Unpinned::Present && !object.is_cut_off() && state.attached;
        if taken {
            self.remove_page(pool, object, &mut state, *place);
        }
        let emptied = taken && state.is_empty();
        drop(state);
        drop(tree);
        self.release_orphan(pool.kind(), unpinned);
        if let Contents::Shared(id) = contents {
            self.leave_share(pool.kind(), *id);
        }
        if emptied {
            self.prune(pool, object, *number);
        }
        taken
    }

    /// Frees what only this reader still held.
    pub(super) fn release_orphan(&self, kind: PoolKind, unpinned: Unpinned) {
        if let Unpinned::Replaced(Some(contents)) = unpinned {
            self.release(kind, contents);
        }
    }
}
