//! One object: a tree of leaves that can be cut off as a whole.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::ObjectId;
use crate::lock::SharedLock;

use super::heap::shared_bytes;
use super::leaves::Leaves;

/// A file or swap area of the guest.
#[derive(Debug)]
pub(crate) struct Object {
    id: ObjectId,
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
    /// Id of the object's pool.
    pub(crate) pool: u32,
    pub(crate) leaves: Leaves,
}

impl Object {
    /// Heap bytes of an object without leaves.
    pub(crate) const BYTES: usize = shared_bytes::<Self>();

    /// An object of the pool of id `pool`.
    pub(crate) fn new(id: ObjectId, pool: u32) -> Self {
        let tree = SharedLock::new(Tree { attached: true, pool, leaves: Leaves::None });
        Self { id, pages: AtomicU64::new(0), tree }
    }

    pub(crate) fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Id of the object's pool.
    pub(crate) fn pool(&self) -> u32 {
        self.tree.read().pool
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_object_fits_a_block_of_96_bytes() {
        assert_eq!(shared_bytes::<Object>(), 96);
    }
}
