//! Background work on stored pages: cold persistent ones are compressed once more, smaller and slower, and pages of both
//! kinds move out of slabs that are nearly empty, so that these can go back to the host.
//!
//! A persistent page is cold when nobody loaded it while the hand came by three times: each pass makes every page one
//! older, a load makes it young again.

use std::sync::Arc;

use crate::arena::{Evacuation, Slot};
use crate::codec::{Packed, with_scratch};
use crate::index::{Contents, Leaf, Object, Tier};
use crate::key::PoolKind;
use crate::statistics::Counter;

use super::Client;
use super::replace::{Copy, Held};

/// Age of a cold page: passes that it has seen without a load, as many as the entry can count.
const COLD: u8 = 3;

/// What a pass did, and what there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recompression {
    /// Pages that are smaller now.
    pub smaller: u64,
    /// The next pass would do no more before the client is called ([`Client::wake_at_next_call`]): every page is cold
    /// and as small as it gets, or there is no room for its second copy, and moving pages gave no memory back.
    pub is_done: bool,
}

/// What to do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Recompress,
    Move,
}

/// A page to work on, pinned.
struct Job {
    place: u16,
    tier: Tier,
    slot: Slot,
    task: Task,
}

/// One pass over all pages, as far as it came.
struct Pass<G> {
    go_on: G,
    kind: PoolKind,
    evacuation: Evacuation,
    /// Whether there was room for what was recompressed so far. Where there is none, the work would be for nothing.
    room: bool,
    smaller: u64,
    /// Whether it met a page for a later pass: one that is not cold yet, or not compressed at all.
    later: bool,
}

impl Client {
    /// One pass over all pages: each of a persistent pool gets one older; those of them that were cold already are
    /// compressed by Zstandard where that saves an eighth; pages of any pool in slabs that others have room for move
    /// there. Memory that is free by it goes back to the host. Asks `go_on` before each page that it works on, and ends
    /// early where that is false.
    ///
    /// Meant for a thread of its own, at long intervals: a page is cold after three of them. `go_on` may sleep, to rest
    /// between pages; no lock is held then.
    pub fn recompress(&self, mut go_on: impl FnMut() -> bool) -> Recompression {
        // What is flushed and not freed yet leaves slabs that others have room for.
        let mut whole = Recompression { smaller: 0, is_done: !self.has_detached() };
        for kind in [PoolKind::Persistent, PoolKind::Ephemeral] {
            let evacuation = self.arena.evacuation(kind);
            let mut pass = Pass { go_on: &mut go_on, kind, evacuation, room: true, smaller: 0, later: false };
            let finished = self.pass_leaves(&mut pass);
            whole.smaller += pass.smaller;
            whole.is_done &= finished && !pass.later;
            if !finished {
                break;
            }
        }
        let released = self.release_unused();
        if whole.smaller > 0 {
            self.sleepers.wake();
        }
        whole.is_done &= whole.smaller == 0 && released == 0;
        whole
    }

    /// Passes all leaves once. Returns `false` where it was told to stop.
    fn pass_leaves(&self, pass: &mut Pass<impl FnMut() -> bool>) -> bool {
        for hand in self.hands(pass.kind) {
            for _ in 0..hand.places() {
                // It stays in the queue: who evicts meanwhile must not miss it.
                let Some(leaf) = hand.rotate() else { break };
                let Some(object) = leaf.object() else { continue };
                if !self.pass_leaf(&object, &leaf, pass) {
                    return false;
                }
            }
        }
        true
    }

    /// Passes the pages of one leaf. Returns `false` where it was told to stop.
    fn pass_leaf(&self, object: &Object, leaf: &Arc<Leaf>, pass: &mut Pass<impl FnMut() -> bool>) -> bool {
        let mut from = 0;
        while (pass.go_on)() {
            let Some(job) = pass.next_job(leaf, from) else { return true };
            from = job.place + 1;
            let copy = self.copy(&job, pass.kind, &pass.evacuation);
            pass.room &= job.task == Task::Move || !matches!(copy, Copy::NoRoom);
            let contents = Contents::Stored(job.tier, job.slot);
            let done = self.publish(&Held { kind: pass.kind, object, leaf, place: job.place, contents }, &copy);
            match job.task {
                Task::Recompress if done => {
                    pass.smaller += 1;
                    self.counters.count(Counter::PagesRecompressed);
                }
                Task::Move if done => self.counters.count(Counter::PagesMoved),
                Task::Recompress | Task::Move => {}
            }
        }
        false
    }

    /// Makes a second copy as the task says.
    fn copy(&self, job: &Job, kind: PoolKind, evacuation: &Evacuation) -> Copy {
        // SAFETY: the slot is pinned, and stays so until `publish` has the copy.
        let stored = unsafe { self.arena.bytes(job.slot) };
        match job.task {
            Task::Move => match self.arena.store(kind, stored, &self.quota) {
                // The room that there was is gone: moving to where others move away from empties nothing.
                Ok(slot) if evacuation.includes(slot) => {
                    self.free(kind, Contents::Stored(job.tier, slot));
                    Copy::NoRoom
                }
                Ok(slot) => Copy::Made { placed: Contents::Stored(job.tier, slot).into(), settled: false },
                Err(_) => Copy::NoRoom,
            },
            Task::Recompress => with_scratch(|scratch| match scratch.repack(job.tier, stored) {
                Ok(Packed::Stored(Tier::Zstd, bytes)) if bytes.len() <= stored.len() - stored.len() / 8 => {
                    match self.place_once(kind, Packed::Stored(Tier::Zstd, bytes)) {
                        Ok(placed) => Copy::Made { placed, settled: true },
                        Err(_) => Copy::NoRoom,
                    }
                }
                // Bytes that are no page stay as they are: the load finds out and counts it.
                _ => Copy::NotWorthIt,
            }),
        }
    }
}

impl<G> Pass<G> {
    /// Makes persistent pages from `from` on one older until there is one to work on, and pins that. The ages of ephemeral
    /// ones are the eviction's.
    fn next_job(&mut self, leaf: &Leaf, from: u16) -> Option<Job> {
        let mut state = leaf.lock();
        let mut next = state.next(from);
        while let Some((place, entry)) = next {
            let ages = self.kind == PoolKind::Persistent;
            let is_cold = ages && entry.age() == COLD;
            if ages && !is_cold {
                state.set_age(place, entry.age() + 1);
            }
            self.later |= matches!(entry.contents(), Some(Contents::Staged(_)));
            if let Some(Contents::Stored(tier, slot)) = entry.contents() {
                let compresses = ages && !entry.is_settled() && matches!(tier, Tier::Raw | Tier::Lz4 | Tier::PageLz);
                self.later |= compresses && !is_cold;
                let task = match () {
                    () if compresses && is_cold && self.room => Some(Task::Recompress),
                    () if self.evacuation.includes(slot) => Some(Task::Move),
                    () => None,
                };
                if let Some(task) = task
                    && state.pin(place)
                {
                    return Some(Job { place, tier, slot, task });
                }
            }
            next = state.next(place + 1);
        }
        None
    }
}
