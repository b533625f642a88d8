//! The order in which leaves are looked at.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::index::Leaf;
use crate::lock::Lock;

/// Empty places, or room for places, that are tolerated whatever the number of leaves.
const SLACK: usize = 64;

/// The position of a leaf that was not entered yet, or is taken out to be looked at. Places are numbered one after the
/// other, modulo 2³¹, and a leaf that has one holds twice its number and one. Positions change under the hand's lock alone.
const OUT: u32 = 0;
/// The position of a leaf that is not in its tree any more: it is never entered again.
const GONE: u32 = 2;

/// A queue of the leaves of a pool, or of all pools of a kind, oldest first.
///
/// It keeps no leaf alive. A leaf that goes leaves an empty place; when these are a third of all they are swept out, so
/// that the queue's memory follows the number of leaves.
#[derive(Debug, Default)]
pub(crate) struct Hand(Lock<Queue>);

#[derive(Debug, Default)]
struct Queue {
    /// A leaf that is gone has left its place empty.
    places: VecDeque<Option<Weak<Leaf>>>,
    /// Number of the first place.
    first: u32,
    empty: usize,
    /// Leaves that were entered and have not left; one that is being looked at has no place.
    leaves: usize,
}

impl Hand {
    /// Heap bytes of a leaf's place: the queue doubles its room.
    pub(crate) const PLACE_BYTES: usize = 2 * size_of::<Option<Weak<Leaf>>>();

    /// Enters a new leaf.
    pub(crate) fn enter(&self, leaf: &Arc<Leaf>) {
        let mut queue = self.0.lock();
        queue.leaves += 1;
        queue.push_back(leaf);
    }

    /// Strikes out a leaf that was removed from its tree.
    pub(crate) fn leave(&self, leaf: &Leaf) {
        let mut queue = self.0.lock();
        queue.leaves -= 1;
        queue.strike_out(leaf.position.load(Ordering::Relaxed));
        leaf.position.store(GONE, Ordering::Relaxed);
        queue.shrink();
    }

    /// Number of leaves in the queue: as often [`next`](Self::next) comes by all of them.
    pub(crate) fn places(&self) -> usize {
        let queue = self.0.lock();
        queue.places.len() - queue.empty
    }

    /// Number of leaves entered and not removed.
    pub(crate) fn leaves(&self) -> usize {
        self.0.lock().leaves
    }

    /// Takes the oldest leaf.
    pub(crate) fn next(&self) -> Option<Arc<Leaf>> {
        self.0.lock().pop_front()
    }

    /// The oldest leaf, which becomes the newest. Other than one that was taken, it stays where others find it.
    pub(crate) fn rotate(&self) -> Option<Arc<Leaf>> {
        let mut queue = self.0.lock();
        let leaf = queue.pop_front()?;
        queue.push_back(&leaf);
        Some(leaf)
    }

    /// Puts a leaf back as the newest, unless it is gone.
    pub(crate) fn requeue(&self, leaf: &Arc<Leaf>) {
        let mut queue = self.0.lock();
        if leaf.position.load(Ordering::Relaxed) == OUT {
            queue.push_back(leaf);
        }
    }

    /// Puts a leaf back as the oldest, to go on with it, unless it is gone.
    pub(crate) fn resume(&self, leaf: &Arc<Leaf>) {
        let mut queue = self.0.lock();
        if leaf.position.load(Ordering::Relaxed) == OUT {
            queue.push_front(leaf);
        }
    }
}

impl Queue {
    /// What a leaf at the `at`-th place holds.
    #[allow(clippy::cast_possible_truncation, reason = "numbers are modulo 2³¹, and there are fewer places")]
    fn position(&self, at: usize) -> u32 {
        self.first.wrapping_add(at as u32) << 1 | 1
    }

    fn push_back(&mut self, leaf: &Arc<Leaf>) {
        leaf.position.store(self.position(self.places.len()), Ordering::Relaxed);
        self.places.push_back(Some(Arc::downgrade(leaf)));
    }

    fn push_front(&mut self, leaf: &Arc<Leaf>) {
        self.first = self.first.wrapping_sub(1);
        leaf.position.store(self.position(0), Ordering::Relaxed);
        self.places.push_front(Some(Arc::downgrade(leaf)));
    }

    fn pop_front(&mut self) -> Option<Arc<Leaf>> {
        loop {
            let place = self.places.pop_front()?;
            self.first = self.first.wrapping_add(1);
            match place {
                None => self.empty -= 1,
                Some(leaf) => {
                    let Some(leaf) = leaf.upgrade() else { continue };
                    leaf.position.store(OUT, Ordering::Relaxed);
                    return Some(leaf);
                }
            }
        }
    }

    /// Empties the place of a leaf that holds `position`.
    fn strike_out(&mut self, position: u32) {
        if position & 1 == 0 {
            return;
        }
        let at = (position >> 1).wrapping_sub(self.first) & (u32::MAX >> 1);
        if let Some(place) = self.places.get_mut(at as usize) {
            *place = None;
            self.empty += 1;
        }
    }

    /// Gives memory back when there is far more than leaves need.
    fn shrink(&mut self) {
        if self.empty > self.leaves / 2 + SLACK {
            self.places.retain(Option::is_some);
            self.empty = 0;
            for (at, place) in self.places.iter().enumerate() {
                if let Some(leaf) = place.as_ref().and_then(Weak::upgrade) {
                    leaf.position.store(self.position(at), Ordering::Relaxed);
                }
            }
        }
        if self.places.capacity() > 4 * self.places.len() + SLACK {
            self.places.shrink_to(2 * self.places.len());
        }
    }
}
