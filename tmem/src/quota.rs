//! A client's share of the host's memory: what is charged, and how far that may go.

use std::sync::atomic::{AtomicU64, Ordering};

/// The client is at its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverLimit;

/// The account of one client, in bytes.
///
/// The arena charges page data when a page of it becomes resident and takes it off when it was given back; the index
/// charges what it takes from the heap as metadata. So the sum is what the process's resident memory shows.
#[derive(Debug)]
pub(crate) struct Quota {
    used: AtomicU64,
    metadata: AtomicU64,
    limit: AtomicU64,
    reservation: AtomicU64,
}

impl Quota {
    pub(crate) const fn new(limit: u64, reservation: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            metadata: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
            reservation: AtomicU64::new(reservation),
        }
    }

    /// Charges `bytes` of data, if the limit allows.
    pub(crate) fn try_charge(&self, bytes: usize) -> Result<(), OverLimit> {
        let limit = self.limit();
        let grow = |used: u64| used.checked_add(bytes as u64).filter(|used| *used <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).map(drop).map_err(|_| OverLimit)
    }

    /// Takes `bytes` of data off, once the memory is back at the host.
    pub(crate) fn refund(&self, bytes: usize) {
        self.used.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Charges `bytes` of metadata, if the limit allows.
    pub(crate) fn try_charge_metadata(&self, bytes: usize) -> Result<(), OverLimit> {
        // Most puts need none.
        if bytes > 0 {
            self.try_charge(bytes)?;
            self.metadata.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Charges `bytes` of metadata whatever the limit is; for what has a bound of its own.
    pub(crate) fn charge_metadata(&self, bytes: usize) {
        self.used.fetch_add(bytes as u64, Ordering::Relaxed);
        self.metadata.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes `bytes` of metadata off.
    pub(crate) fn refund_metadata(&self, bytes: usize) {
        if bytes > 0 {
            self.metadata.fetch_sub(bytes as u64, Ordering::Relaxed);
            self.refund(bytes);
        }
    }

    /// Everything charged.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The part of [`used`](Self::used) that is index.
    pub(crate) fn metadata(&self) -> u64 {
        self.metadata.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// The reservation; a limit below it is the reservation.
    pub(crate) fn reservation(&self) -> u64 {
        self.reservation.load(Ordering::Relaxed).min(self.limit())
    }

    /// Bytes up to the limit.
    pub(crate) fn left(&self) -> u64 {
        self.limit().saturating_sub(self.used())
    }

    /// Bytes held beyond the limit, after it was lowered.
    pub(crate) fn excess(&self) -> u64 {
        self.used().saturating_sub(self.limit())
    }

    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_reservation(&self, bytes: u64) {
        self.reservation.store(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_beyond_the_limit_changes_nothing() {
        let quota = Quota::new(100, 0);
        assert_eq!(quota.try_charge(100), Ok(()));
        assert_eq!(quota.try_charge_metadata(1), Err(OverLimit));
        assert_eq!((quota.used(), quota.metadata()), (100, 0));
    }

    #[test]
    fn a_limit_below_the_use_shows_as_excess() {
        let quota = Quota::new(100, 80);
        quota.charge_metadata(60);
        quota.set_limit(50);
        assert_eq!(quota.excess(), 10);
        assert_eq!(quota.reservation(), 50);
    }
}
