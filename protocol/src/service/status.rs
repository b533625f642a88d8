//! The state of the host and its VMs, as `tmem list` and `tmem top` print it.

use serde::{Deserialize, Serialize};

use super::Counts;
use crate::VmName;

/// Some of the VMs, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmsPage {
    /// The VMs.
    pub vms: Vec<VmStatus>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// A VM as the service sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmStatus {
    /// Its name.
    pub name: VmName,
    /// User id of its process.
    pub uid: u32,
    /// Its process; 0 where that is in another PID namespace.
    pub pid: i32,
    /// Control group of its process, where it is known.
    pub cgroup: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Its class.
    pub class: String,
    /// Its weight: its class's, or what it was set to.
    pub weight: u32,
    /// The guest's memory in bytes.
    pub memory_bytes: u64,
    /// What its store may hold, in bytes.
    pub lease_bytes: u64,
    /// What it should hold, in bytes: the lease goes there.
    pub entitlement_bytes: u64,
    /// What is never taken from it, in bytes.
    pub reservation_bytes: u64,
    /// What it never exceeds, in bytes.
    pub limit_bytes: u64,
    /// Part of its pages in use in hundredths of a percent; absent where its counts are stale.
    pub active_basis_points: Option<u32>,
    /// Age of its counts in milliseconds.
    pub counts_age_ms: u64,
    /// What its store holds and did.
    pub counts: Counts,
}

/// The host as the service sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// How short the host is: high, clear, soft, hard or low.
    pub state: String,
    /// Why: memory, pressure, hysteresis or hold.
    pub cause: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// MemTotal in bytes.
    pub total_bytes: u64,
    /// MemAvailable in bytes.
    pub available_bytes: u64,
    /// PSI memory `some avg10` in hundredths of a percent, where the kernel has it.
    pub psi_some_basis_points: Option<u32>,
    /// PSI memory `full avg10` in hundredths of a percent, where the kernel has it.
    pub psi_full_basis_points: Option<u32>,
    /// Size of the pool in bytes.
    pub pool_bytes: u64,
    /// What all stores hold, in bytes.
    pub used_bytes: u64,
    /// What of it can be evicted, in bytes.
    pub freeable_bytes: u64,
    /// VMs registered.
    pub vms: u64,
    /// Decisions made since the service started.
    pub decisions: u64,
    /// Time since the last decision in milliseconds.
    pub decided_ms_ago: u64,
    /// Time from one decision to the next in milliseconds; 0 from a service that does not say.
    #[serde(default)]
    pub interval_ms: u64,
    /// Where the policy was read from; absent: the built-in one.
    pub policy_path: Option<String>,
    /// How often a policy was put in force, the first included.
    pub policy_generation: u64,
    /// SHA-256 of the policy in force, in hexadecimal digits.
    pub policy_sha256: String,
    /// Why the policy that is on the disk now is not in force. VMs are named to root and the service's own user alone.
    pub policy_error: Option<String>,
}
