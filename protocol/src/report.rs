//! The state of one VM, as `tmem show` prints it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::VmName;

/// Counters by group (`store`, `hypercall`, a device's name), then by reason. All count up from the start of the VM
/// except where the name says what it is a level of (`…_bytes`, `…_pages` held now).
pub type CounterGroups = BTreeMap<String, BTreeMap<String, u64>>;

/// Everything that is known about a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmReport {
    /// The VM's name.
    pub name: VmName,
    /// Process id of its `tmem run`.
    pub pid: u32,
    /// What it is doing.
    pub state: VmState,
    /// Time since the VM started, in milliseconds.
    pub uptime_ms: u64,
    /// Size of the guest's memory in bytes.
    pub memory_bytes: u64,
    /// Number of virtual CPUs.
    pub vcpus: u8,
    /// Path of the kernel it was started with.
    pub kernel: String,
    /// The label of `[tmem]` in vm.toml.
    pub label: Option<String>,
    /// The VM's share of the store; absent where `[tmem]` is switched off.
    pub tmem: Option<TmemReport>,
    /// What happened, by reason.
    pub counters: CounterGroups,
    /// What the guest last told about its memory, if it did. A hint: a guest may say anything.
    pub guest: Option<GuestReport>,
}

/// What a VM is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmState {
    /// The guest runs.
    Running,
    /// The power button was pressed and the guest still runs.
    Stopping,
    /// A state that only newer processes know.
    #[serde(other)]
    Unknown,
}

/// A VM's share of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmemReport {
    /// What it may hold at most, in bytes of host memory.
    pub limit_bytes: u64,
    /// What is never taken from it, in bytes of host memory.
    pub reservation_bytes: u64,
    /// What it holds now, in bytes of host memory, metadata included.
    pub used_bytes: u64,
    /// Whether new pages are rejected.
    pub frozen: bool,
    /// Where the limit comes from; absent in answers of older processes.
    #[serde(default)]
    pub share: Option<ShareReport>,
}

/// Where a VM's limit comes from: the lower of its own and its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareReport {
    /// Who leases.
    pub source: ShareSource,
    /// Whether the service answers; without it the last lease stays.
    pub is_connected: bool,
    /// The limit of vm.toml, or what was set since, in bytes.
    pub own_limit_bytes: u64,
    /// The lease in bytes.
    pub lease_bytes: u64,
    /// Whether ephemeral pages are accepted.
    pub accepts_ephemeral: bool,
}

/// Who leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareSource {
    /// The host service.
    Service,
    /// The VM's own process, by a policy.
    Policy,
    /// A source that only newer processes know.
    #[serde(other)]
    Unknown,
}

/// The guest's own account of its memory (the `REPORT` call). Pages are of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestReport {
    /// How long ago it was made, in milliseconds.
    pub age_ms: u64,
    /// Whether the guest was about to start its OOM killer.
    pub about_to_oom: bool,
    /// PSI memory `some avg10` in hundredths of a percent.
    pub psi_some_basis_points: u32,
    /// PSI memory `full avg10` in hundredths of a percent.
    pub psi_full_basis_points: u32,
    /// Memory committed.
    pub committed_pages: u64,
    /// Free memory.
    pub free_pages: u64,
    /// Memory that the guest's kernel manages.
    pub total_pages: u64,
    /// Pages swapped in since boot.
    pub swap_in_pages: u64,
    /// Pages swapped out since boot.
    pub swap_out_pages: u64,
}
