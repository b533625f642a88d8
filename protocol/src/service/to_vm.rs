//! What the service says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{HostStatus, VmsPage};
use crate::Refusal;

/// A message of the service: the answer to a request, or to a VM unasked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceReply {
    /// The VM is registered, and may start.
    Registered {
        /// What holds until the next lease.
        lease: Lease,
        /// How its store is to work, where its own configuration does not say.
        store: StoreSettings,
    },
    /// To a VM: what holds from now on.
    Lease(Lease),
    /// To a VM: give back memory of ephemeral pages.
    Flush {
        /// How much, in bytes.
        bytes: u64,
    },
    /// It is done.
    Done,
    /// Some of the VMs.
    Vms(VmsPage),
    /// The host.
    Host(Box<HostStatus>),
    /// A decision and its inputs, as the decision log has them.
    Explained(Value),
    /// Nothing was done.
    Error(Refusal),
}

/// How a store works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSettings {
    /// How pages are compressed.
    pub codec: StoreCodec,
    /// Which ephemeral pages go first.
    pub eviction: StoreEviction,
    /// Whether equal pages are stored once.
    pub deduplicates: bool,
    /// A page that would be stored in more bytes than this is rejected; at the size of a page none is.
    pub stored_max_bytes: u32,
    /// Which pages are accepted for what those that are stored take. A service that does not say means any.
    #[serde(default)]
    pub accept: StoreAccept,
    /// A store that was full takes new persistent pages again at this part of what it held, in hundredths of a percent; at
    /// 10000 whenever one fits. A service that does not say means that.
    #[serde(default = "StoreSettings::never_waits")]
    pub accept_threshold_basis_points: u32,
    /// How long a page must not have been asked for to be compressed once more, in milliseconds; 0: never.
    pub recompress_after_ms: u64,
}

impl StoreSettings {
    /// The threshold of a store that takes a page whenever it fits.
    #[must_use]
    pub const fn never_waits() -> u32 {
        10_000
    }
}

/// How pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreCodec {
    /// Made for pages.
    PageLz,
    /// Fast.
    Lz4,
    /// Small.
    Zstd,
    /// One that only newer processes know: the receiver's own default.
    #[serde(other)]
    Unknown,
}

/// Which pages are accepted for what those that are stored take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreAccept {
    /// All.
    #[default]
    Any,
    /// While those that are stored compress badly on average, only those that are better than that.
    BetterThanMean,
    /// What only newer processes know: the receiver's own default.
    #[serde(other)]
    Unknown,
}

/// Which ephemeral pages go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreEviction {
    /// Those that were used, then the oldest.
    UsedFirst,
    /// The oldest, but each once more for each of its last uses.
    SecondChance,
    /// The oldest.
    Fifo,
    /// One that only newer processes know: the receiver's own default.
    #[serde(other)]
    Unknown,
}

/// What a VM's store may hold, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The most that it may hold, in bytes; a lower limit of the VM itself holds.
    pub lease_bytes: u64,
    /// What is never taken from it, in bytes; not above the lease.
    pub reservation_bytes: u64,
    /// Whether ephemeral pages are accepted; not while the host is in state hard or low.
    pub accepts_ephemeral: bool,
    /// How much of what the store may hold may be ephemeral pages, in hundredths of a percent. A service that does not say
    /// leaves all of it.
    #[serde(default = "Lease::all")]
    pub ephemeral_basis_points: u32,
    /// How often the VM is to report, in milliseconds.
    pub interval_ms: u64,
}

impl Lease {
    /// What holds until somebody leases something.
    pub const NOTHING: Self = Self {
        lease_bytes: 0,
        reservation_bytes: 0,
        accepts_ephemeral: true,
        ephemeral_basis_points: Self::all(),
        interval_ms: 0,
    };

    /// All of it, in hundredths of a percent.
    #[must_use]
    pub const fn all() -> u32 {
        10_000
    }
}
