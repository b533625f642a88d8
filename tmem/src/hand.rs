//! The order in which leaves are looked at.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crate::index::{Leaf, Object};
use crate::lock::Lock;

/// Stale places that are tolerated before they are swept out.
const SLACK: usize = 64;

/// A leaf, as long as it lives.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) object: Weak<Object>,
    pub(crate) leaf: Weak<Leaf>,
    pub(crate) number: u32,
}

/// A queue of all leaves of one kind of pool, oldest first.
///
/// It holds no page and keeps no leaf alive. Leaves that were flushed leave stale places behind; when these are the
/// majority they are swept out, so that the queue's memory follows the number of leaves.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    places: Lock<VecDeque<Place>>,
    leaves: AtomicUsize,
}

impl Hand {
    /// Heap bytes of a leaf's place: the queue doubles its room, and as much again may be stale.
    pub(crate) const PLACE_BYTES: usize = 2 * size_of::<Place>();

    /// Enters a new leaf.
    pub(crate) fn enter(&self, object: &Arc<Object>, leaf: &Arc<Leaf>, number: u32) {
        let leaves = self.leaves.fetch_add(1, Ordering::Relaxed) + 1;
        let mut places = self.places.lock();
        if places.len() > 2 * leaves + SLACK {
            places.retain(|place| place.leaf.strong_count() > 0);
        }
        places.push_back(Place { object: Arc::downgrade(object), leaf: Arc::downgrade(leaf), number });
    }

    /// Counts a leaf that was removed from its tree; its place goes when the hand or a sweep comes by.
    pub(crate) fn leave(&self) {
        self.leaves.fetch_sub(1, Ordering::Relaxed);
    }

    /// Number of places, stale ones included: as often [`next`](Self::next) comes by all leaves.
    pub(crate) fn places(&self) -> usize {
        self.places.lock().len()
    }

    /// Number of leaves entered and not removed.
    pub(crate) fn leaves(&self) -> usize {
        self.leaves.load(Ordering::Relaxed)
    }

    /// Takes the oldest place.
    pub(crate) fn next(&self) -> Option<Place> {
        self.places.lock().pop_front()
    }

    /// Puts a place back as the newest.
    pub(crate) fn requeue(&self, place: Place) {
        self.places.lock().push_back(place);
    }

    /// Puts a place back as the oldest, to go on with it.
    pub(crate) fn resume(&self, place: Place) {
        self.places.lock().push_front(place);
    }
}
