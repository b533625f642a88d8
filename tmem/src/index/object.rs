//! One object: a tree of leaves that can be cut off as a whole.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::key::ObjectId;
use crate::lock::BiasedLock;

use super::heap::shared_bytes;
use super::leaves::Leaves;

/// A file or swap area of the guest.
#[derive(Debug)]
pub(crate) struct Object {
    id: ObjectId,
    /// Id of its pool.
    pool: u32,
    /// Whether it was cut off. Changed under the tree's exclusive lock; without a lock only `true` says anything.
    cut_off: AtomicBool,
    /// Pages present. Changed under the tree's shared lock while it is attached: exact under the exclusive one, and for
    /// good once the tree was cut off.
    pages: AtomicU64,
    /// Pages are published and removed under the shared lock; leaves come and go, and the tree is cut off, under the
    /// exclusive one. A tree that was cut off never gets another page.
    tree: BiasedLock<Leaves>,
}

impl Object {
    /// Heap bytes of an object without leaves.
    pub(crate) const BYTES: usize = shared_bytes::<Self>();

    /// An object of the pool of id `pool`.
    pub(crate) fn new(id: ObjectId, pool: u32) -> Self {
        let (cut_off, pages) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { id, pool, cut_off, pages, tree: BiasedLock::new(Leaves::None) }
    }

    pub(crate) fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Id of the object's pool.
    pub(crate) fn pool(&self) -> u32 {
        self.pool
    }

    pub(crate) fn tree(&self) -> &BiasedLock<Leaves> {
        &self.tree
    }

    /// Whether the tree was cut off: for good, if so.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    /// Cuts the tree off. The caller holds it exclusively.
    pub(crate) fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Release);
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
