//! A store that was full: whether new persistent pages come in again.
//!
//! Ephemeral pages have no part in it. They come in at any time, since older ones go for them, and what they take is not
//! held against persistent ones, for which they go too.

use crate::key::PoolKind;
use crate::statistics::Counter;

use super::Client;
use super::account::pages_of;

impl Client {
    /// A put into a persistent pool was refused for want of room.
    #[cold]
    pub(super) fn note_full(&self) {
        let pages =
            self.counters.sum(Counter::PersistentBytes).saturating_add(self.counters.sum(Counter::EphemeralBytes));
        self.acceptance.close(pages.saturating_add(self.quota.metadata()), self.quota.limit());
    }

    /// Takes new pages again if enough is gone. Returns whether it is.
    #[cold]
    pub(super) fn has_emptied(&self) -> bool {
        // What is flushed is gone, and each put at the limit frees some of it.
        if self.has_detached() {
            self.reclaim_some();
        }
        let index = self.quota.metadata().saturating_sub(self.ephemeral_index_bytes());
        let held = self.counters.sum(Counter::PersistentBytes).saturating_add(index);
        // A store without such pages has nothing to wait for, whatever its index still takes.
        let is_empty = || self.counters.sum(pages_of(PoolKind::Persistent)) == 0;
        let emptied = held <= self.acceptance.threshold_bytes(self.quota.limit()) || is_empty();
        if emptied {
            self.acceptance.open();
        }
        emptied
    }
}
