//! The VMs of the host and what they are given: everything that is decided, and nothing that is read or sent.
//!
//! ```text
//!  register, count, leave ──► Engine ──► decide: law::decide ──► leases that changed
//! ```
//!
//! What a VM says of itself is taken where it is about itself alone, and bounded where it could cost others something:
//! its name is its for as long as it is connected; what it holds is at most what it was given, or what its process holds in
//! fact; a lease that it claims to have had counts only while the service has just started.

mod admission;
mod decision;
mod log;
mod objection;
mod remembered;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod vm;
mod window;

use std::collections::BTreeMap;

use policy::Policy;
use policy::law::state::{HostState, Level};
use protocol::service::Counts;
use protocol::{Refusal, RefusalKind, VmName};

pub use self::admission::Admitted;
use self::decision::Decided;
pub(crate) use self::objection::{Objection, Unservable};
use self::remembered::Remembered;
pub use self::vm::Origin;
use self::vm::Vm;

/// How long after its start the service gives nothing: VMs that kept their lease while it was away come back meanwhile,
/// and what they hold must not be given to others. Longer than the pause between two attempts of a VM.
pub const SETTLE_MS: u64 = 3000;

/// The policy in force and where it came from.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The policy.
    pub policy: Policy,
    /// Its files or folder; absent: the built-in one.
    pub path: Option<String>,
    /// How often a policy was put in force, the first included.
    pub generation: u64,
    /// SHA-256 of the policy as [`Policy::to_toml`] writes it.
    pub sha256: String,
    /// Why the policy that is on the disk now is not in force.
    pub(crate) error: Option<Objection>,
}

impl From<Policy> for InForce {
    /// A policy that comes from no file.
    fn from(policy: Policy) -> Self {
        Self { policy, path: None, generation: 1, sha256: String::new(), error: None }
    }
}

/// The VMs of the host.
#[derive(Debug)]
pub struct Engine {
    in_force: InForce,
    started_ms: u64,
    state: HostState,
    vms: BTreeMap<VmName, Vm>,
    remembered: Remembered,
    decisions: u64,
    last: Option<Decided>,
    logged_ms: Option<u64>,
}

impl Engine {
    /// An engine without VMs.
    #[must_use]
    pub fn new(in_force: InForce, now_ms: u64) -> Self {
        Self {
            in_force,
            started_ms: now_ms,
            state: HostState::default(),
            vms: BTreeMap::new(),
            remembered: Remembered::default(),
            decisions: 0,
            last: None,
            logged_ms: None,
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn in_force(&self) -> &InForce {
        &self.in_force
    }

    fn policy(&self) -> &Policy {
        &self.in_force.policy
    }

    fn has_settled(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.started_ms) >= SETTLE_MS
    }

    /// Takes down what a VM reports. Returns whether it says to hold more than it can.
    pub fn count(&mut self, name: &VmName, counts: Counts, now_ms: u64) -> bool {
        let Some(vm) = self.vms.get_mut(name) else { return false };
        vm.count(&self.in_force.policy, counts, now_ms);
        vm.exaggerates()
    }

    /// A VM's connection is gone. What it had is remembered for a while, in case it comes back.
    pub fn leave(&mut self, name: &VmName, now_ms: u64) {
        if let Some(vm) = self.vms.remove(name) {
            self.remembered.put(name, &vm, now_ms);
        }
    }

    /// Sets a VM's weight, or leaves it to its class again.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where there is no such VM, or the weight is out of range.
    pub fn set_weight(&mut self, name: &VmName, weight: Option<u32>) -> Result<(), Refusal> {
        if weight.is_some_and(|weight| !(1..=10_000).contains(&weight)) {
            return Err(Refusal::new(RefusalKind::Invalid, "a weight is 1 to 10000"));
        }
        let vm = self.vms.get_mut(name).ok_or_else(|| no_such_vm(name))?;
        vm.weight = weight;
        Ok(())
    }

    /// The user of a VM's process.
    #[must_use]
    pub fn owner(&self, name: &VmName) -> Option<u32> {
        self.vms.get(name).map(|vm| vm.origin.uid)
    }

    /// How short the host is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.state.level
    }
}

/// The answer about a VM that is not there, or not the caller's.
pub(crate) fn no_such_vm(name: &VmName) -> Refusal {
    Refusal::new(RefusalKind::NoSuchVm, format!("no VM named {name} is registered with the host service"))
}
