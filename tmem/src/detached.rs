//! Trees that were cut off by a flush and wait to be freed.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::index::{Leaf, Object, Pool};
use crate::lock::Lock;

/// A part of the index that no get finds any more. Its pages stay charged until they are freed.
pub(crate) enum Detached {
    /// A pool that was closed; taken apart when the last call that used it is done.
    Pool(Arc<Pool>),
    /// What is left of a pool.
    Objects(Box<dyn Iterator<Item = Arc<Object>> + Send>),
    /// An object whose tree is cut off.
    Object(Arc<Object>),
    /// What is left of an object.
    Leaves(Box<dyn Iterator<Item = Arc<Leaf>> + Send>),
}

/// The queue of what is to be freed, oldest first.
#[derive(Default)]
pub(crate) struct DetachedQueue(Lock<VecDeque<Detached>>);

impl DetachedQueue {
    pub(crate) fn push(&self, detached: Detached) {
        self.0.lock().push_back(detached);
    }

    /// Puts back what could not be finished.
    pub(crate) fn resume(&self, detached: Detached) {
        self.0.lock().push_front(detached);
    }

    pub(crate) fn pop(&self) -> Option<Detached> {
        self.0.lock().pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}
