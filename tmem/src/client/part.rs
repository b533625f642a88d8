//! The part of a client that its ephemeral pages may take.

use std::sync::atomic::Ordering;

use crate::key::PAGE_SIZE;
use crate::statistics::{Counter, ephemeral_metadata};

use super::Client;

impl Client {
    /// Sets the most bytes that ephemeral pages may [take](crate::Statistics::ephemeral_taken_bytes); above the limit of the
    /// client it means nothing. What is above goes at once; from then on a put into an ephemeral pool takes the room of older
    /// ephemeral pages, and is answered `OVER_LIMIT` where there are none; also where the oldest, as many as a put may
    /// drop, are same-filled and so took next to no room: they are gone for the next one. Puts under way may end above
    /// it, by a page and its index each.
    pub fn set_ephemeral_limit(&self, bytes: u64) {
        self.ephemeral_limit.store(bytes, Ordering::Relaxed);
        while self.ephemeral_excess(0) > 0 && self.flush_ephemeral(self.ephemeral_excess(0)) > 0 {}
    }

    /// Whether an ephemeral page may come, if need be after others went.
    pub(super) fn has_ephemeral_room(&self) -> bool {
        let excess = || self.ephemeral_excess(PAGE_SIZE as u64);
        excess() == 0 || (self.evict_for_a_put() > 0 && excess() == 0)
    }

    /// Bytes that ephemeral pages hold above what they may, when `more` come.
    fn ephemeral_excess(&self, more: u64) -> u64 {
        let limit = self.ephemeral_limit.load(Ordering::Relaxed);
        if limit >= self.quota.limit() {
            return 0;
        }
        let bytes = self.counters.sum(Counter::EphemeralBytes).saturating_add(self.ephemeral_index_bytes());
        bytes.saturating_add(more).saturating_sub(limit)
    }

    /// The part of the index that is for ephemeral pages, in bytes.
    pub(super) fn ephemeral_index_bytes(&self) -> u64 {
        let pages = [Counter::PersistentPages, Counter::EphemeralPages].map(|counter| self.counters.sum(counter));
        ephemeral_metadata(self.quota.metadata(), pages)
    }
}
