//! What is known about the host and its VMs when a decision is made. Sizes are in bytes, times in milliseconds of a
//! clock that only goes forward. No number here is believed to be sane: the laws neither overflow nor panic on any.

use serde::{Deserialize, Serialize};

use crate::value::Pressure;

/// Size of a page in bytes.
pub(super) const PAGE_BYTES: u64 = 4096;

/// The host and its VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The host.
    pub host: HostObservation,
    /// Every VM that runs.
    pub vms: Vec<VmObservation>,
}

/// The host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostObservation {
    /// When this was seen.
    pub now_ms: u64,
    /// MemTotal.
    pub total_bytes: u64,
    /// MemAvailable.
    pub available_bytes: u64,
    /// Memory pressure; `None` where the kernel does not tell.
    pub psi: Option<PsiObservation>,
}

/// `/proc/pressure/memory`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PsiObservation {
    /// Some task waited.
    pub some_avg10: Pressure,
    /// All tasks waited.
    pub full_avg10: Pressure,
}

/// A VM, as its process and the kernel describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmObservation {
    /// Who it is.
    pub identity: Identity,
    /// The guest's memory.
    pub memory_bytes: u64,
    /// How much of the guest's memory the host holds now.
    pub resident_bytes: u64,
    /// The weight that it was set to; `None`: that of its class.
    pub weight: Option<u32>,
    /// The limit that the VM was started with or told; `None`: no other than its class's.
    pub limit_bytes: Option<u64>,
    /// What its store may hold now.
    pub lease_bytes: u64,
    /// What its store holds now, metadata included.
    pub used_bytes: u64,
    /// The part of it that can be evicted.
    pub ephemeral_bytes: u64,
    /// What its store did.
    pub statistics: Statistics,
}

/// Who a VM is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its name: its own word.
    pub name: String,
    /// Its label: its own word.
    pub label: Option<String>,
    /// User id of its process: the kernel's word.
    pub uid: u32,
    /// Cgroup of its process: the kernel's word; `None` where it could not be read.
    pub cgroup: Option<String>,
}

/// What a VM's store did. Counted by the store, so that no guest has to be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// How old this is.
    pub age_ms: u64,
    /// Pages that were asked for and found within `share.idle_after`; one that was taken out by it counts.
    pub hit_pages: u64,
    /// Mean number of pages that were stored in that time.
    pub stored_pages: u64,
    /// Pages that were put and rejected for want of room since the last decision.
    pub rejected_pages: u64,
}
