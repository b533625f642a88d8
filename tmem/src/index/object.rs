//! One object: a tree of leaves that can be cut off as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::ObjectId;
use crate::lock::SharedLock;

use super::leaf::Leaf;
use super::pool::Pool;

/// A file or swap area of the guest.
#[derive(Debug)]
pub(crate) struct Object {
    id: ObjectId,
    pool: std::sync::Weak<Pool>,
    /// Pages present. Changed under the tree's shared lock, so that the exclusive one reads it exactly.
    pages: AtomicU64,
    tree: SharedLock<Tree>,
}

/// The leaves of an object.
///
/// Pages are published and removed under the shared lock; leaves come and go, and the tree is cut off, under the
/// exclusive one. A tree that is not attached any more never gets another page.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) attached: bool,
    pub(crate) leaves: BTreeMap<u32, Arc<Leaf>>,
}

impl Object {
    /// Heap bytes of an object without leaves: itself, its share of the pool's map (a bucket of 32 bytes and a control
    /// byte, at the worst load that doubling leaves), and the tree's first node.
    pub(crate) const BYTES: usize = size_of::<Self>() + 2 * size_of::<usize>() + 16 + 76 + 144;

    pub(crate) fn new(id: ObjectId, pool: &Arc<Pool>) -> Self {
        let tree = SharedLock::new(Tree { attached: true, leaves: BTreeMap::new() });
        Self { id, pool: Arc::downgrade(pool), pages: AtomicU64::new(0), tree }
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.id
    }

    /// The pool, while it lives.
    pub(crate) fn pool(&self) -> Option<Arc<Pool>> {
        self.pool.upgrade()
    }

    pub(crate) fn tree(&self) -> &SharedLock<Tree> {
        &self.tree
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    pub(crate) fn add_page(&self) {
        self.pages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn subtract_pages(&self, pages: u64) {
        self.pages.fetch_sub(pages, Ordering::Relaxed);
    }
}
