//! Equal pages that share a slot: merged, loaded, taken, replaced and flushed at once.

use loom::sync::Arc;

use super::super::leaf::Unpinned;
use super::super::{Contents, Entry};
use super::{Model, PLACES, in_every_order};

const A: u16 = PLACES[0];
const B: u16 = PLACES[1];
const C: u16 = PLACES[2];

impl Model {
    /// What background work does with a page that it finds an equal one for, at `other`: as `Client::place_once` does
    /// (`client/merge.rs`), and then publishes.
    fn merge(&self, place: u16, other: u16) {
        let Some(contents) = self.pin_own(place) else { return };
        let bytes = self.load(contents);
        let shared = self.pin(other).and_then(|(candidate, stored)| {
            let equal = self.load(stored) == bytes;
            self.join(other, candidate, stored, equal)
        });
        match shared {
            Some(shared) => self.publish(place, contents, shared),
            None => {
                let unpinned = self.leaf.lock().unpin(place, contents);
                self.done(unpinned);
            }
        }
    }

    /// As `Client::join` does.
    fn join(&self, other: u16, candidate: Contents, stored: Contents, equal: bool) -> Option<Contents> {
        if let Contents::Shared(id) = candidate {
            let joined = equal && self.shares.refer(id);
            self.free_slot(self.shares.unpin(id, &self.quota));
            return joined.then_some(candidate);
        }
        let mut state = self.leaf.lock();
        let unpinned = state.unpin(other, candidate);
        let is_there = unpinned == Unpinned::Present && state.get(other).pins() == 0;
        let mut joined = None;
        if equal && is_there {
            joined = self.shares.create(stored, &self.quota).map(Contents::Shared);
            joined.into_iter().for_each(|shared| state.rename(other, Entry::new(shared)));
        }
        drop(state);
        self.done(unpinned);
        joined
    }
}

/// Two equal pages, each with a slot of its own.
fn apart() -> Arc<Model> {
    Model::new(&[A, B])
}

/// Two equal pages that share a slot.
fn merged() -> Arc<Model> {
    let model = apart();
    model.merge(B, A);
    assert_eq!(model.shares.holdings().references, 2);
    model
}

/// The same, and a third one that is equal and has a slot of its own.
fn merged_and_one() -> Arc<Model> {
    let model = merged();
    model.put(C, 1);
    model
}

#[test]
fn a_page_that_is_merged_while_its_equal_is_flushed_stays() {
    in_every_order(
        apart,
        |model| model.merge(B, A),
        |model| model.flush(A),
        |model| model.get(B),
        |(), (), got, left| assert_eq!((got, left), (Some(1), [None, Some(1), None])),
    );
}

#[test]
fn a_page_that_is_replaced_while_it_is_merged_is_the_newer() {
    in_every_order(
        apart,
        |model| model.merge(B, A),
        |model| model.put(B, 2),
        |model| model.get(A),
        |(), (), got, left| assert_eq!((got, left), (Some(1), [Some(1), Some(2), None])),
    );
}

#[test]
fn a_page_that_others_are_merged_with_is_taken_once() {
    in_every_order(
        apart,
        |model| model.merge(B, A),
        |model| model.get_exclusive(A),
        |model| model.get_exclusive(A),
        |(), one, two, [left, other, _]| {
            // A get that saw the page before it was renamed finds it gone, and `Client::get` looks again.
            let here = [one, two, left];
            assert_eq!(here.into_iter().flatten().count(), 1, "{here:?}");
            assert_eq!(other, Some(1));
        },
    );
}

#[test]
fn two_that_merge_each_with_the_other_lose_neither() {
    in_every_order(
        apart,
        |model| model.merge(B, A),
        |model| model.merge(A, B),
        |model| model.flush(A),
        |(), (), (), left| assert_eq!(left, [None, Some(1), None]),
    );
}

#[test]
fn a_page_that_is_recompressed_while_another_is_merged_with_it_stays() {
    in_every_order(
        apart,
        |model| model.merge(B, A),
        |model| model.work(A),
        |model| model.get(A),
        |(), (), got, left| assert_eq!((got, left), (Some(1), [Some(1), Some(1), None])),
    );
}

#[test]
fn the_slot_of_a_share_goes_with_its_last_entry_or_its_last_reader() {
    in_every_order(
        merged,
        |model| model.flush(A),
        |model| model.flush(B),
        |model| model.get(A),
        |(), (), got, left| {
            assert!(matches!(got, None | Some(1)));
            assert_eq!(left, [None; 3]);
        },
    );
}

#[test]
fn pages_of_a_share_are_taken_each_once_and_a_put_leaves_the_other_alone() {
    in_every_order(
        merged,
        |model| model.get_exclusive(A),
        |model| model.put(B, 2),
        |model| model.get_exclusive(A),
        |one, (), two, left| {
            let taken = [one, two];
            assert_eq!(taken.into_iter().flatten().count(), 1, "{taken:?}");
            assert_eq!(left, [None, Some(2), None]);
        },
    );
}

#[test]
fn a_share_that_loses_its_last_entry_while_another_joins_lives_on() {
    in_every_order(
        merged_and_one,
        |model| model.merge(C, A),
        |model| model.flush(A),
        |model| model.flush(B),
        |(), (), (), left| assert_eq!(left, [None, None, Some(1)]),
    );
}

#[test]
fn a_page_that_joins_a_share_and_is_flushed_counts_once() {
    in_every_order(
        merged_and_one,
        |model| model.merge(C, A),
        |model| model.flush(C),
        |model| model.put(A, 2),
        |(), (), (), left| assert_eq!(left, [Some(2), Some(1), None]),
    );
}

#[test]
fn an_id_is_not_used_again_under_a_reader() {
    in_every_order(
        merged_and_one,
        |model| {
            model.flush(A);
            model.flush(B);
            // The next share, of other contents; it may have the id of the one before.
            model.put(A, 2);
            model.put(B, 2);
            model.merge(B, A);
        },
        |model| model.get(A),
        |_| {},
        |(), got, (), left| {
            assert!(matches!(got, None | Some(1 | 2)), "{got:?}");
            assert_eq!(left, [Some(2), Some(2), Some(1)]);
        },
    );
}
