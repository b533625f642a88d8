//! What a disk has done so far, for whoever asks the VM over its control socket.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one disk since the VM started. Written by its worker, read by anybody.
#[derive(Debug, Default)]
pub struct BlockCounters {
    pub(super) reads: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) sectors_read: AtomicU64,
    pub(super) sectors_written: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) discards: AtomicU64,
    pub(super) zeroed_ranges: AtomicU64,
    /// Requests that failed on the host.
    pub(super) io_errors: AtomicU64,
    /// Requests that the driver should not have made.
    pub(super) rejected: AtomicU64,
}

impl BlockCounters {
    /// All counters with their names. A sector has 512 bytes; failed requests count in the last two only.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("reads", &self.reads),
            ("writes", &self.writes),
            ("sectors_read", &self.sectors_read),
            ("sectors_written", &self.sectors_written),
            ("flushes", &self.flushes),
            ("discards", &self.discards),
            ("zeroed_ranges", &self.zeroed_ranges),
            ("io_errors", &self.io_errors),
            ("rejected", &self.rejected),
        ]
        .into_iter()
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}

/// Adds `amount`, and returns the sum.
pub(super) fn add(counter: &AtomicU64, amount: u64) -> u64 {
    counter.fetch_add(amount, Ordering::Relaxed).wrapping_add(amount)
}
