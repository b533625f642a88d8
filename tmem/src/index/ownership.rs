//! A slot is not used again until everybody who may have seen its entry is done: all orders of the threads, by loom.
//!
//! The leaf and the shares are the real ones. The arena is a model whose slots tell loom who reads and who writes them, so
//! that a slot that is freed under a reader, freed twice, or never, fails. What the threads do with leaf and shares is what
//! `Client::put`, `get`, `flush_range`, `recompress` and `compress_staged` do with them; the map and the trees above are left
//! out. Here are the pages that have a slot of their own, in `ownership/shares.rs` those that share one.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --package tmem --lib ownership`

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails it")]

mod shares;

use std::sync::Weak;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::leaf::{Leaf, Unpinned};
use super::{Contents, Entry, Tier};
use crate::arena::Slot;
use crate::dedup::Shares;
use crate::key::PoolKind;
use crate::lock::Lock;
use crate::quota::Quota;

const SLOTS: usize = 6;
/// The page that all threads work on.
const PLACE: u16 = 3;
/// Every page that there may be.
const PLACES: [u16; 3] = [PLACE, 4, 5];
/// What a slot holds that is free.
const FREE: u64 = 0;

struct Model {
    leaf: Leaf,
    shares: Shares,
    quota: Quota,
    slots: [UnsafeCell<u64>; SLOTS],
    free: Lock<Vec<usize>>,
}

// SAFETY: who touches a slot when is what loom checks.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// A leaf with these pages, all of contents 1.
    fn new(places: &[u16]) -> Arc<Self> {
        let model = Self {
            leaf: Leaf::new(Weak::new(), 0, PoolKind::Persistent, 0),
            shares: Shares::default(),
            quota: Quota::new(u64::MAX, 0),
            slots: std::array::from_fn(|_| UnsafeCell::new(FREE)),
            free: Lock::new((0..SLOTS).collect()),
        };
        places.iter().for_each(|place| model.put(*place, 1));
        Arc::new(model)
    }

    fn store(&self, contents: u64) -> Contents {
        let slot = self.free.lock().pop().unwrap();
        // SAFETY: the slot was just taken.
        self.slots[slot].with_mut(|bytes| unsafe { *bytes = contents });
        Contents::Stored(Tier::Raw, Slot::new(slot as u64, 8))
    }

    fn load(&self, stored: Contents) -> u64 {
        // SAFETY: the slot is pinned.
        let bytes = self.slots[number(stored)].with(|bytes| unsafe { *bytes });
        assert_ne!(bytes, FREE, "a free slot was read");
        bytes
    }

    /// Frees what an entry said, or a reference to it.
    fn free(&self, contents: Contents) {
        match contents {
            Contents::Shared(id) => self.free_slot(self.shares.release(id, &self.quota)),
            own => self.free_slot(Some(own)),
        }
    }

    fn free_slot(&self, stored: Option<Contents>) {
        let Some(slot) = stored.map(number) else { return };
        // SAFETY: nobody can reach the slot any more.
        let before = self.slots[slot].with_mut(|bytes| unsafe { std::mem::replace(&mut *bytes, FREE) });
        assert_ne!(before, FREE, "a slot was freed twice");
        self.free.lock().push(slot);
    }

    /// Frees what only the caller still held; whether the page was still in its place.
    fn done(&self, unpinned: Unpinned) -> bool {
        if let Unpinned::Replaced(Some(contents)) = unpinned {
            self.free(contents);
        }
        unpinned == Unpinned::Present
    }

    fn put(&self, place: u16, contents: u64) {
        let contents = self.store(contents);
        let (_, removed) = self.leaf.lock().insert(place, Entry::new(contents));
        removed.into_iter().for_each(|contents| self.free(contents));
    }

    fn flush(&self, place: u16) {
        let (_, removed) = self.leaf.lock().remove(place);
        removed.into_iter().for_each(|contents| self.free(contents));
    }

    /// Pins a page in its entry or its share; what the entry says, and where the bytes are.
    fn pin(&self, place: u16) -> Option<(Contents, Contents)> {
        let mut state = self.leaf.lock();
        let contents = state.get(place).contents()?;
        if let Contents::Shared(id) = contents {
            return Some((contents, self.shares.pin(id).unwrap()));
        }
        assert!(state.pin(place));
        Some((contents, contents))
    }

    fn get(&self, place: u16) -> Option<u64> {
        let (contents, source) = self.pin(place)?;
        let bytes = self.load(source);
        if let Contents::Shared(id) = contents {
            self.free_slot(self.shares.unpin(id, &self.quota));
        } else {
            let unpinned = self.leaf.lock().unpin(place, contents);
            self.done(unpinned);
        }
        Some(bytes)
    }

    /// What it took out, if nobody was faster.
    fn get_exclusive(&self, place: u16) -> Option<u64> {
        let (contents, source) = self.pin(place)?;
        let bytes = self.load(source);
        let mut state = self.leaf.lock();
        let unpinned = match contents {
            Contents::Shared(_) if state.get(place).contents() == Some(contents) => Unpinned::Present,
            Contents::Shared(_) => Unpinned::Replaced(None),
            own => state.unpin(place, own),
        };
        let removed = if unpinned == Unpinned::Present { state.remove(place).1 } else { None };
        drop(state);
        removed.into_iter().for_each(|contents| self.free(contents));
        if let Contents::Shared(id) = contents {
            self.free_slot(self.shares.unpin(id, &self.quota));
        }
        self.done(unpinned).then_some(bytes)
    }

    /// Pins a page that has a slot of its own; background work leaves the others.
    fn pin_own(&self, place: u16) -> Option<Contents> {
        let mut state = self.leaf.lock();
        let own = state.get(place).contents().filter(|contents| matches!(contents, Contents::Stored(..)))?;
        assert!(state.pin(place));
        Some(own)
    }

    /// Makes a second copy and publishes it if the page is still the one that was read.
    fn work(&self, place: u16) {
        let Some(contents) = self.pin_own(place) else { return };
        let copy = self.store(self.load(contents));
        self.publish(place, contents, copy);
    }

    fn publish(&self, place: u16, contents: Contents, copy: Contents) {
        let mut state = self.leaf.lock();
        let unpinned = state.unpin(place, contents);
        let useless = if unpinned == Unpinned::Present { state.insert(place, Entry::new(copy)).1 } else { Some(copy) };
        drop(state);
        useless.into_iter().for_each(|contents| self.free(contents));
        self.done(unpinned);
    }

    /// Every slot is free but those of the pages and shares that are left; the pages' contents.
    fn check(&self) -> [Option<u64>; PLACES.len()] {
        let state = self.leaf.lock();
        assert!(!state.has_orphans(), "no reader is left");
        let entries = PLACES.map(|place| state.get(place));
        drop(state);
        assert!(entries.iter().all(|entry| entry.pins() == 0), "no reader is left");
        let contents = entries.map(Entry::contents);
        let own = contents.iter().flatten().filter(|contents| matches!(contents, Contents::Stored(..))).count();
        let pages = contents.iter().flatten().count();
        let holdings = self.shares.holdings();
        assert_eq!(holdings.references, (pages - own) as u64, "every reference has an entry");
        assert_eq!(self.free.lock().len() + own + holdings.shares, SLOTS, "a slot is lost");
        PLACES.map(|place| self.get(place))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "there are six slots")]
fn number(stored: Contents) -> usize {
    let Contents::Stored(_, slot) = stored else { unreachable!("the model stores every page") };
    slot.place() as usize
}

/// Runs the three at once on what `start` makes, in every order that there is, and then `check`.
fn in_every_order<A: Send + 'static, B: Send + 'static, C: 'static>(
    start: fn() -> Arc<Model>,
    first: fn(&Model) -> A,
    second: fn(&Model) -> B,
    third: fn(&Model) -> C,
    check: fn(A, B, C, [Option<u64>; PLACES.len()]),
) {
    loom::model(move || {
        let model = start();
        let [one, two] = [Arc::clone(&model), Arc::clone(&model)];
        let one = thread::spawn(move || first(&one));
        let two = thread::spawn(move || second(&two));
        let three = third(&model);
        let (one, two) = (one.join().unwrap(), two.join().unwrap());
        check(one, two, three, model.check());
    });
}

/// One page.
fn alone() -> Arc<Model> {
    Model::new(&[PLACE])
}

#[test]
fn a_reader_sees_a_whole_page_while_it_is_replaced_and_flushed() {
    in_every_order(
        alone,
        |model| model.get(PLACE),
        |model| model.put(PLACE, 2),
        |model| model.flush(PLACE),
        |got, (), (), [left, ..]| {
            assert!(matches!(got, None | Some(1 | 2)));
            assert!(matches!(left, None | Some(2)));
        },
    );
}

#[test]
fn a_worker_never_publishes_an_older_page() {
    in_every_order(
        alone,
        |model| model.work(PLACE),
        |model| model.put(PLACE, 2),
        |model| model.get(PLACE),
        |(), (), got, [left, ..]| {
            assert!(matches!(got, Some(1 | 2)));
            assert_eq!(left, Some(2));
        },
    );
}

#[test]
fn a_worker_never_brings_a_flushed_page_back() {
    in_every_order(
        alone,
        |model| model.work(PLACE),
        |model| model.flush(PLACE),
        |model| model.get(PLACE),
        |(), (), got, [left, ..]| {
            assert!(matches!(got, None | Some(1)));
            assert_eq!(left, None);
        },
    );
}

#[test]
fn a_page_is_taken_once_whoever_works_on_it() {
    in_every_order(
        alone,
        |model| model.get_exclusive(PLACE),
        |model| model.get_exclusive(PLACE),
        |model| model.work(PLACE),
        |one, two, (), [left, ..]| {
            let here = [one, two, left];
            assert_eq!(here.into_iter().flatten().count(), 1, "{here:?}");
        },
    );
}

#[test]
fn two_workers_leave_one_copy() {
    in_every_order(
        alone,
        |model| model.work(PLACE),
        |model| model.work(PLACE),
        |model| model.get(PLACE),
        |(), (), got, [left, ..]| assert_eq!((got, left), (Some(1), Some(1))),
    );
}

#[test]
fn a_page_that_is_taken_while_it_is_replaced_is_the_older_or_the_newer() {
    in_every_order(
        alone,
        |model| model.get_exclusive(PLACE),
        |model| model.put(PLACE, 2),
        |model| model.work(PLACE),
        |taken, (), (), [left, ..]| {
            assert!(
                matches!((taken, left), (None, Some(2)) | (Some(1), Some(2)) | (Some(2), None)),
                "{taken:?} {left:?}"
            );
        },
    );
}
