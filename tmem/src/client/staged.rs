//! Background work on staged pages: compressed into the arena, the oldest of each part of the buffer first, those that nobody
//! loaded meanwhile.

use std::sync::Arc;

use crate::codec::with_scratch;
use crate::index::{Contents, Leaf, ObjectInUse, PoolInUse};
use crate::key::{Key, PoolKind};
use crate::statistics::Counter;

use super::Client;
use super::replace::{Copy, Held};

/// Age of a persistent page that was loaded while it was staged: likely to be freed soon.
pub(super) const LOADED_WHILE_STAGED: u8 = 1;

/// A staged page that is pinned.
struct Staged<'a> {
    pool: &'a PoolInUse,
    object: ObjectInUse<'a>,
    leaf: Arc<Leaf>,
    place: u16,
}

impl Client {
    /// Compresses the pages that were staged before `mark`, the oldest of each part of the buffer first; a page that was
    /// loaded meanwhile waits until the others were looked at once more. Asks `go_on` before each page, and ends early where
    /// that is false, or where there is no room. The memory of a part of which nothing is staged any more goes back to the
    /// host with the next [`reclaim`](Self::reclaim). Returns how many pages were compressed.
    ///
    /// Meant for a thread of its own, which gives pages a moment to be freed first: `mark` is what
    /// [`staging_mark`](Self::staging_mark) said then. No lock is held while `go_on` runs.
    pub fn compress_staged(&self, mark: u64, mut go_on: impl FnMut() -> bool) -> u64 {
        let mark = mark.min(self.staging_mark());
        let mut compressed = 0;
        let mut queued = self.staging.queued(mark);
        while go_on() {
            let Some((page, key)) = queued.next() else { break };
            let pool = self.pool(key.pool);
            let Some(staged) = pool.as_ref().and_then(|pool| self.find_staged(pool, page, key)) else {
                // Its put is not done, or its end: it is looked at again unless it is given back by then.
                self.staging.requeue(page);
                continue;
            };
            let Staged { pool, object, leaf, place } = &staged;
            let kind = pool.kind();
            let copy = self.pack_staged(kind, page);
            let held = Held { kind, object, leaf, place: *place, contents: Contents::Staged(page) };
            let done = self.publish(&held, &copy);
            compressed += u64::from(done);
            if matches!(copy, Copy::NoRoom) {
                self.staging.requeue(page);
                break;
            }
        }
        self.counters.add(Counter::PagesUnstaged, compressed);
        compressed
    }

    /// Tells the pages that are staged now from those that will be.
    pub fn staging_mark(&self) -> u64 {
        self.staging.mark()
    }

    /// Pages in the staging buffer, and pages that it has room for.
    pub fn staging_fill(&self) -> (usize, usize) {
        self.staging.fill()
    }

    /// Sleeps until a page is staged, the calling thread is unparked, or for no reason. The put that ends it makes a system
    /// call for that, and no other put does.
    pub fn wait_for_staged(&self) {
        self.staging.wait();
    }

    /// Looks up what was staged in `page` under `key`, and pins it. `None` where something else is there, or where it was
    /// loaded since it was last looked at.
    fn find_staged<'a>(&self, pool: &'a PoolInUse, page: u32, key: Key) -> Option<Staged<'a>> {
        let object = self.pools.object(pool, key.object)?;
        let (number, place) = Leaf::of(key.index);
        let leaf = {
            let tree = object.tree().read();
            let leaf = tree.get(number).filter(|_| !object.is_cut_off())?;
            let mut state = leaf.lock();
            let entry = state.get(place);
            if entry.contents() != Some(Contents::Staged(page)) {
                return None;
            }
            if pool.kind() == PoolKind::Persistent && entry.age() == LOADED_WHILE_STAGED {
                state.set_age(place, 0);
                return None;
            }
            if !state.pin(place) {
                return None;
            }
            Arc::clone(leaf)
        };
        Some(Staged { pool, object, leaf, place })
    }

    /// Makes a compressed copy of a pinned page, or finds one.
    fn pack_staged(&self, kind: PoolKind, page: u32) -> Copy {
        // SAFETY: the page is pinned, and stays so until the copy is published.
        let page = unsafe { self.staging.page(page) };
        let placed = with_scratch(|scratch| {
            *scratch.page = *page;
            self.place_once(kind, scratch.pack(self.config.codec))
        });
        placed.map_or(Copy::NoRoom, |placed| Copy::Made { placed, settled: false })
    }
}
