//! Trees that were cut off by a flush and wait to be freed.
//!
//! The queue is worked off by every thread that wants memory, and each takes one leaf at a time: what is in the queue is
//! nobody's, so a thread that finds it empty knows that all the rest is free, but for the leaf that another has in hand.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::index::{Leaf, Object, Pool};
use crate::key::PoolKind;
use crate::lock::Lock;

/// A part of the index that no get finds any more. Its pages stay charged until they are freed.
enum Detached {
    /// A pool that was closed; taken apart when the last call that used it is done.
    Pool(Arc<Pool>),
    /// What is left of a pool.
    Objects(Box<dyn Iterator<Item = Arc<Object>> + Send>),
    /// An object whose tree is cut off.
    Object(Arc<Object>),
    /// What is left of an object.
    Leaves(Box<dyn Iterator<Item = Arc<Leaf>> + Send>),
}

/// What left the queue, for whoever keeps the account.
#[derive(Debug)]
pub(crate) enum Freed {
    /// A pool of so many pages. Its objects are in the queue.
    Pool { kind: PoolKind, pages: u64 },
    /// An object, and the heap bytes of its tree. Its leaves are in the queue.
    Object { tree_bytes: usize },
    /// A leaf, to be freed.
    Leaf(Arc<Leaf>),
}

/// The queue of what is to be freed: pools, the last first, and then the rest, the oldest first.
///
/// Pools go first because a guest can make them at any limit: one with little in it is gone with the call that destroys
/// it, and does not wait behind a large one.
#[derive(Default)]
pub(crate) struct DetachedQueue(Lock<VecDeque<Detached>>);

impl DetachedQueue {
    /// A pool that was closed, and that nobody finds any more.
    pub(crate) fn push_pool(&self, pool: Arc<Pool>) {
        self.0.lock().push_front(Detached::Pool(pool));
    }

    /// An object whose tree is cut off.
    pub(crate) fn push_object(&self, object: Arc<Object>) {
        self.0.lock().push_back(Detached::Object(object));
    }

    /// Leaves that were removed from their tree.
    pub(crate) fn push_leaves(&self, leaves: Box<dyn Iterator<Item = Arc<Leaf>> + Send>) {
        self.0.lock().push_back(Detached::Leaves(leaves));
    }

    /// Takes the next thing apart; what it was made of takes its place. `None` where there is nothing but pools that
    /// another call still uses.
    pub(crate) fn free_next(&self) -> Option<Freed> {
        let mut queue = self.0.lock();
        // Pools in use stay where they are: there are no more of them than threads that call.
        let mut at = 0;
        loop {
            match queue.remove(at)? {
                Detached::Pool(pool) => match Arc::try_unwrap(pool) {
                    Ok(pool) => {
                        let freed = Freed::Pool { kind: pool.kind(), pages: pool.pages() };
                        queue.insert(at, Detached::Objects(pool.into_objects()));
                        return Some(freed);
                    }
                    Err(pool) => {
                        queue.insert(at, Detached::Pool(pool));
                        at += 1;
                    }
                },
                Detached::Objects(mut objects) => {
                    if let Some(object) = objects.next() {
                        queue.insert(at, Detached::Objects(objects));
                        queue.insert(at, Detached::Object(object));
                    }
                }
                Detached::Object(object) => {
                    let leaves = {
                        let mut tree = object.tree().write();
                        object.cut_off();
                        std::mem::take(&mut *tree)
                    };
                    let freed = Freed::Object { tree_bytes: leaves.heap_bytes() };
                    queue.insert(at, Detached::Leaves(leaves.into_iter()));
                    return Some(freed);
                }
                Detached::Leaves(mut leaves) => {
                    if let Some(leaf) = leaves.next() {
                        queue.insert(at, Detached::Leaves(leaves));
                        return Some(Freed::Leaf(leaf));
                    }
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}
