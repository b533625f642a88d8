//! The store's share of the host's memory: what a host service leases, or a policy decides here.
//!
//! ```text
//!  service ──┐   the service's leases; lost: the last one stays
//!            ├──► Share ──► Client: limit, reservation, ephemeral puts
//!  local  ───┘   the same laws, on this VM alone
//! ```
//!
//! Whoever governs runs on the event loop. The guest's calls see nothing but the numbers in the store.

mod governor;
mod lines;
mod local;
mod service;
mod settings;
mod stillness;
#[cfg(test)]
mod tests;
mod timer;

use std::sync::{Mutex, PoisonError};

use protocol::service::{Counts, Lease};
use protocol::{ShareReport, ShareSource};
use trace::RecordedClient;

pub use governor::{Governor, Governs};
pub use local::{LocalPolicy, LocalVm};
pub use service::{ServiceLink, StartError};
pub use settings::StoreDefaults;

/// What a lease leaves to ephemeral pages of a store that may hold so much.
fn ephemeral_limit(lease: Lease, limit_bytes: u64) -> u64 {
    if lease.ephemeral_basis_points >= Lease::all() {
        return u64::MAX;
    }
    let bytes = u128::from(limit_bytes) * u128::from(lease.ephemeral_basis_points) / u128::from(Lease::all());
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The bounds of a store, and whoever reads its counts.
#[derive(Debug)]
pub struct Share {
    store: RecordedClient,
    bounds: Mutex<Bounds>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    own_limit_bytes: u64,
    lease: Lease,
    source: ShareSource,
    is_connected: bool,
}

impl Share {
    /// A share of nothing, until it is leased something. `own_limit_bytes` is the VM's own limit.
    #[must_use]
    pub fn new(store: RecordedClient, own_limit_bytes: u64, source: ShareSource) -> Self {
        let bounds = Bounds { own_limit_bytes, lease: Lease::NOTHING, source, is_connected: false };
        let share = Self { store, bounds: Mutex::new(bounds) };
        share.change(|_| {});
        share
    }

    /// Changes the bounds, and the store's with them. Giving memory back takes as long as it takes.
    fn change(&self, change: impl FnOnce(&mut Bounds)) {
        let mut bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut bounds);
        let Bounds { own_limit_bytes, lease, .. } = *bounds;
        let limit_bytes = own_limit_bytes.min(lease.lease_bytes);
        let client = self.store.client();
        client.set_reservation(lease.reservation_bytes);
        client.refuse_ephemeral(!lease.accepts_ephemeral);
        if client.limit_bytes() != limit_bytes {
            self.store.set_limit(limit_bytes);
        }
        client.set_ephemeral_limit(ephemeral_limit(lease, limit_bytes));
    }

    fn bounds(&self) -> Bounds {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the VM's own limit: a lease above it is of no use.
    pub fn set_own_limit(&self, bytes: u64) {
        self.change(|bounds| bounds.own_limit_bytes = bytes);
        self.store.client().wake_sleepers();
    }

    /// The VM's own limit.
    #[must_use]
    pub fn own_limit_bytes(&self) -> u64 {
        self.bounds().own_limit_bytes
    }

    /// What the store may hold: its lease, or its own limit where that is less.
    fn limit_bytes(&self) -> u64 {
        self.store.client().limit_bytes()
    }

    /// Keeps to a lease from now on.
    pub fn set_lease(&self, lease: Lease) {
        self.change(|bounds| bounds.lease = lease);
    }

    /// The lease in force.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.bounds().lease
    }

    /// Whether the service is there, for whoever asks.
    fn set_connected(&self, is_connected: bool) {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner).is_connected = is_connected;
    }

    /// Gives back what was freed meanwhile where the store holds more than it may: a put would do it, and none may come.
    /// Returns whether that is all: what is left above the limit is persistent, and the guest's to free.
    pub fn settle(&self) -> bool {
        let client = self.store.client();
        if client.used_bytes() > client.limit_bytes() {
            client.reclaim(u64::MAX);
            client.flush_ephemeral(client.used_bytes().saturating_sub(client.limit_bytes()));
        }
        client.used_bytes() <= client.limit_bytes()
            || (!client.has_detached() && client.statistics().ephemeral_pages == 0)
    }

    /// Gives back memory of ephemeral pages.
    fn flush(&self, bytes: u64) {
        self.store.flush_ephemeral(bytes);
    }

    /// What the store holds and did.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let s = self.store.client().statistics();
        // The index belongs to both kinds of pages, in proportion to what it points to.
        let stored = s.persistent_bytes.saturating_add(s.ephemeral_bytes).max(1);
        let part = u128::from(s.resident_bytes) * u128::from(s.ephemeral_bytes) / u128::from(stored);
        Counts {
            limit_bytes: self.own_limit_bytes(),
            used_bytes: s.resident_bytes,
            ephemeral_bytes: u64::try_from(part).unwrap_or(u64::MAX).min(s.resident_bytes),
            frozen: s.frozen != 0,
            persistent_pages: s.persistent_pages,
            ephemeral_pages: s.ephemeral_pages,
            puts_accepted: s.puts_accepted,
            puts_rejected_no_space: s.puts_rejected_no_space,
            puts_rejected_over_limit: s.puts_rejected_over_limit,
            puts_rejected_frozen: s.puts_rejected_frozen,
            puts_rejected_poor_ratio: s.puts_rejected_poor_ratio,
            puts_rejected_busy: s.puts_rejected_busy,
            gets_hit: s.gets_hit,
            gets_miss: s.gets_miss,
            gets_empty: s.gets_empty,
            pages_evicted: s.pages_evicted,
            pages_merged: s.pages_merged,
            same_filled_pages: s.same_filled_pages,
            rests: false,
        }
    }

    /// For `tmem show`.
    #[must_use]
    pub fn report(&self) -> ShareReport {
        let Bounds { own_limit_bytes, lease, source, is_connected } = self.bounds();
        ShareReport {
            source,
            is_connected,
            own_limit_bytes,
            lease_bytes: lease.lease_bytes,
            accepts_ephemeral: lease.accepts_ephemeral,
        }
    }
}
