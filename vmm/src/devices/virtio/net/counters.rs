//! What a card has done so far, for whoever asks the VM over its control socket.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one card since the VM started. Written by its worker, read by anybody.
#[derive(Debug, Default)]
pub struct NetCounters {
    /// Frames that the driver got.
    pub(super) rx_frames: AtomicU64,
    /// Bytes of them, the Ethernet header included.
    pub(super) rx_bytes: AtomicU64,
    /// Frames for which the driver's buffers are too small, or that need what it did not accept.
    pub(super) rx_dropped: AtomicU64,
    /// How often a frame had to wait for the driver to give buffers.
    pub(super) rx_waits: AtomicU64,
    /// Receive chains that the driver should not have made.
    pub(super) rx_rejected: AtomicU64,
    /// Frames that the tap took.
    pub(super) tx_frames: AtomicU64,
    /// Bytes of them, the Ethernet header included.
    pub(super) tx_bytes: AtomicU64,
    /// Frames that the tap did not take: it is down or gone, or the header makes no sense.
    pub(super) tx_dropped: AtomicU64,
    /// How often a frame had to wait for the tap.
    pub(super) tx_waits: AtomicU64,
    /// Transmit chains that the driver should not have made: too long or too short a frame, a loop, no RAM.
    pub(super) tx_rejected: AtomicU64,
    /// How often the tap did not give or take a frame, other than for having none or no room: it is down, for instance.
    pub(super) tap_errors: AtomicU64,
    /// 1 once the tap has gone.
    pub(super) tap_lost: AtomicU64,
}

impl NetCounters {
    /// All counters with their names. A frame that is cut into segments by whoever gets it counts once.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("rx_frames", &self.rx_frames),
            ("rx_bytes", &self.rx_bytes),
            ("rx_dropped", &self.rx_dropped),
            ("rx_waits", &self.rx_waits),
            ("rx_rejected", &self.rx_rejected),
            ("tx_frames", &self.tx_frames),
            ("tx_bytes", &self.tx_bytes),
            ("tx_dropped", &self.tx_dropped),
            ("tx_waits", &self.tx_waits),
            ("tx_rejected", &self.tx_rejected),
            ("tap_errors", &self.tap_errors),
            ("tap_lost", &self.tap_lost),
        ]
        .into_iter()
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}

/// Adds `amount`, and returns the sum.
pub(super) fn add(counter: &AtomicU64, amount: u64) -> u64 {
    counter.fetch_add(amount, Ordering::Relaxed).wrapping_add(amount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn counters_have_distinct_names() {
        let names: BTreeSet<_> = NetCounters::default().counters().map(|(name, _)| name).collect();
        assert_eq!(names.len(), NetCounters::default().counters().count());
    }
}
