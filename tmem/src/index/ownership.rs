//! A slot is not used again until everybody who may have seen its entry is done: all orders of the threads, by loom.
//!
//! The leaf is the real one. The arena is a model whose slots tell loom who reads and who writes them, so that a slot that
//! is freed under a reader, freed twice, or never, fails. What the threads do with the leaf is what `Client::put`, `get`,
//! `flush_range`, `recompress` and `compress_staged` do with it; the map and the trees above it are left out.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --package tmem --lib ownership`

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails it")]

use std::sync::Weak;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::leaf::{Leaf, Unpinned};
use super::{Contents, Entry, Tier};
use crate::arena::Slot;
use crate::key::PoolKind;
use crate::lock::Lock;

const SLOTS: usize = 4;
/// The page that all threads work on.
const PLACE: u16 = 3;
/// What a slot holds that is free.
const FREE: u64 = 0;

struct Model {
    leaf: Leaf,
    slots: [UnsafeCell<u64>; SLOTS],
    free: Lock<Vec<usize>>,
}

// SAFETY: who touches a slot when is what loom checks.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// A leaf with one page of contents 1.
    fn new() -> Arc<Self> {
        let model = Self {
            leaf: Leaf::new(Weak::new(), 0, PoolKind::Persistent, 0),
            slots: std::array::from_fn(|_| UnsafeCell::new(FREE)),
            free: Lock::new((0..SLOTS).collect()),
        };
        model.put(1);
        Arc::new(model)
    }

    fn store(&self, contents: u64) -> Contents {
        let slot = self.free.lock().pop().unwrap();
        // SAFETY: the slot was just taken.
        self.slots[slot].with_mut(|bytes| unsafe { *bytes = contents });
        Contents::Stored(Tier::Raw, Slot::new(slot as u64, 8))
    }

    fn load(&self, contents: Contents) -> u64 {
        // SAFETY: the slot is pinned.
        let bytes = self.slots[number(contents)].with(|bytes| unsafe { *bytes });
        assert_ne!(bytes, FREE, "a free slot was read");
        bytes
    }

    fn free(&self, contents: Contents) {
        let slot = number(contents);
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

    fn put(&self, contents: u64) {
        let contents = self.store(contents);
        let (_, removed) = self.leaf.lock().insert(PLACE, Entry::new(contents));
        removed.into_iter().for_each(|contents| self.free(contents));
    }

    fn flush(&self) {
        let (_, removed) = self.leaf.lock().remove(PLACE);
        removed.into_iter().for_each(|contents| self.free(contents));
    }

    fn pin(&self) -> Option<Contents> {
        let mut state = self.leaf.lock();
        let contents = state.get(PLACE).contents()?;
        assert!(state.pin(PLACE));
        Some(contents)
    }

    fn get(&self) -> Option<u64> {
        let contents = self.pin()?;
        let bytes = self.load(contents);
        let unpinned = self.leaf.lock().unpin(PLACE, contents);
        self.done(unpinned);
        Some(bytes)
    }

    /// What it took out, if nobody was faster.
    fn get_exclusive(&self) -> Option<u64> {
        let contents = self.pin()?;
        let bytes = self.load(contents);
        let mut state = self.leaf.lock();
        let unpinned = state.unpin(PLACE, contents);
        let removed = if unpinned == Unpinned::Present { state.remove(PLACE).1 } else { None };
        drop(state);
        removed.into_iter().for_each(|contents| self.free(contents));
        self.done(unpinned).then_some(bytes)
    }

    /// Makes a second copy and publishes it if the page is still the one that was read.
    fn work(&self) {
        let Some(contents) = self.pin() else { return };
        let copy = self.store(self.load(contents));
        let mut state = self.leaf.lock();
        let unpinned = state.unpin(PLACE, contents);
        let useless = if unpinned == Unpinned::Present { state.insert(PLACE, Entry::new(copy)).1 } else { Some(copy) };
        drop(state);
        useless.into_iter().for_each(|contents| self.free(contents));
        self.done(unpinned);
    }

    /// Every slot is free but the one of the page that is left; its contents.
    fn check(&self) -> Option<u64> {
        let contents = self.leaf.lock().get(PLACE).contents();
        assert!(!self.leaf.lock().has_orphans(), "no reader is left");
        assert_eq!(self.leaf.lock().get(PLACE).pins(), 0, "no reader is left");
        assert_eq!(self.free.lock().len() + usize::from(contents.is_some()), SLOTS, "a slot is lost");
        contents.map(|contents| self.load(contents))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "there are four slots")]
fn number(contents: Contents) -> usize {
    let Contents::Stored(_, slot) = contents else { unreachable!("the model stores every page") };
    slot.place() as usize
}

/// Runs the three at once, in every order that there is, and then `check`.
fn in_every_order<A: Send + 'static, B: Send + 'static, C: 'static>(
    first: fn(&Model) -> A,
    second: fn(&Model) -> B,
    third: fn(&Model) -> C,
    check: fn(A, B, C, Option<u64>),
) {
    loom::model(move || {
        let model = Model::new();
        let [one, two] = [Arc::clone(&model), Arc::clone(&model)];
        let one = thread::spawn(move || first(&one));
        let two = thread::spawn(move || second(&two));
        let three = third(&model);
        let (one, two) = (one.join().unwrap(), two.join().unwrap());
        check(one, two, three, model.check());
    });
}

#[test]
fn a_reader_sees_a_whole_page_while_it_is_replaced_and_flushed() {
    in_every_order(
        Model::get,
        |model| model.put(2),
        Model::flush,
        |got, (), (), left| {
            assert!(matches!(got, None | Some(1 | 2)));
            assert!(matches!(left, None | Some(2)));
        },
    );
}

#[test]
fn a_worker_never_publishes_an_older_page() {
    in_every_order(
        Model::work,
        |model| model.put(2),
        Model::get,
        |(), (), got, left| {
            assert!(matches!(got, Some(1 | 2)));
            assert_eq!(left, Some(2));
        },
    );
}

#[test]
fn a_worker_never_brings_a_flushed_page_back() {
    in_every_order(Model::work, Model::flush, Model::get, |(), (), got, left| {
        assert!(matches!(got, None | Some(1)));
        assert_eq!(left, None);
    });
}

#[test]
fn a_page_is_taken_once_whoever_works_on_it() {
    in_every_order(Model::get_exclusive, Model::get_exclusive, Model::work, |one, two, (), left| {
        let here = [one, two, left];
        assert_eq!(here.into_iter().flatten().count(), 1, "{here:?}");
    });
}

#[test]
fn two_workers_leave_one_copy() {
    in_every_order(Model::work, Model::work, Model::get, |(), (), got, left| {
        assert_eq!((got, left), (Some(1), Some(1)))
    });
}

#[test]
fn a_page_that_is_taken_while_it_is_replaced_is_the_older_or_the_newer() {
    in_every_order(
        Model::get_exclusive,
        |model| model.put(2),
        Model::work,
        |taken, (), (), left| {
            assert!(
                matches!((taken, left), (None, Some(2)) | (Some(1), Some(2)) | (Some(2), None)),
                "{taken:?} {left:?}"
            );
        },
    );
}
