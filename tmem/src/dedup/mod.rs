//! Pages of one client that are equal share one place in the arena.
//!
//! ```text
//!  hash of stored bytes ──► Hints ──► leaf ──► entry of the same length ──► bytes compared
//!                                                  │ equal
//!                          Shares: id → place, references, readers ◄── both entries say "shared, id"
//! ```
//!
//! All of it is background work, on pages that were compressed a moment ago: codecs are deterministic, so equal pages have
//! equal stored bytes, and neither a page nor its candidate is decompressed for it. A merge that is missed costs memory
//! and nothing else; so the hints may forget and may be wrong.

mod directory;
mod hints;
mod shares;

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::index::Leaf;
use crate::lock::Lock;
use crate::quota::Quota;

use directory::Directory;
pub(crate) use hints::Hash;
use hints::Hints;
pub(crate) use shares::Shares;

/// What is known about the equal pages of one kind of pool.
#[derive(Debug)]
pub(crate) struct Dedup {
    /// A guest that knows no seed cannot make pages that collide.
    seed: u64,
    known: Lock<Known>,
    pub(crate) shares: Shares,
}

#[derive(Debug, Default)]
struct Known {
    hints: Hints,
    directory: Directory,
}

impl Dedup {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, known: Lock::default(), shares: Shares::default() }
    }

    pub(crate) fn hash(&self, stored: &[u8]) -> Hash {
        Hash(xxh3_64_with_seed(stored, self.seed))
    }

    /// Leaves, few, that may hold a page of this hash.
    pub(crate) fn candidates(&self, hash: Hash) -> impl Iterator<Item = Arc<Leaf>> + use<> {
        let known = self.known.lock();
        let leaves = known.hints.candidates(hash).map(|number| number.and_then(|number| known.directory.get(number)));
        leaves.into_iter().flatten()
    }

    /// Remembers that a leaf holds a page of this hash, one of `pages` altogether.
    pub(crate) fn remember(&self, hash: Hash, leaf: &Arc<Leaf>, pages: impl FnOnce() -> u64, quota: &Quota) {
        // A leaf that is gone must not come back into the directory.
        let mut state = leaf.lock();
        if !state.attached {
            return;
        }
        let mut known = self.known.lock();
        state.hinted = state.hinted.or_else(|| known.directory.enter(leaf, quota));
        let Some(number) = state.hinted else { return };
        drop(state);
        known.hints.insert(hash, number, pages, quota);
    }

    /// Forgets a leaf that was removed from its tree.
    pub(crate) fn forget(&self, leaf: &Leaf, quota: &Quota) {
        if let Some(number) = leaf.lock().hinted.take() {
            self.known.lock().directory.leave(number, quota);
        }
    }

    /// Forgets every hint, when the client begins a new life.
    pub(crate) fn clear(&self, quota: &Quota) {
        self.known.lock().hints.clear(quota);
    }

    /// Heap bytes charged.
    pub(crate) fn heap_bytes(&self) -> usize {
        let known = self.known.lock();
        known.hints.heap_bytes() + known.directory.heap_bytes() + self.shares.holdings().heap_bytes
    }
}
