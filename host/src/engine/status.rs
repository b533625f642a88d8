//! The host and its VMs as they are told to people.

use protocol::service::{HostStatus, VMS_PER_PAGE, VmStatus, VmsPage};
use protocol::{Refusal, RefusalKind, VmName};
use serde_json::{Value, json};

use super::decision::Decided;
use super::vm::Vm;
use super::{Engine, no_such_vm};

/// Most of a control group's path that is told.
const CGROUP_SHOWN_CHARS: usize = 200;

impl Engine {
    /// A page of the VMs behind `after` that the caller may see.
    #[must_use]
    pub fn list(&self, after: Option<&VmName>, may_see: impl Fn(u32) -> bool, now_ms: u64) -> VmsPage {
        let behind = |name: &VmName| after.is_none_or(|after| name > after);
        let mut found = self.vms.iter().filter(|(name, vm)| behind(name) && may_see(vm.origin.uid));
        let vms = found.by_ref().take(VMS_PER_PAGE).map(|(name, vm)| self.status(name, vm, now_ms)).collect();
        VmsPage { vms, more: found.next().is_some() }
    }

    /// Every VM.
    #[must_use]
    pub fn statuses(&self, now_ms: u64) -> Vec<VmStatus> {
        self.vms.iter().map(|(name, vm)| self.status(name, vm, now_ms)).collect()
    }

    fn status(&self, name: &VmName, vm: &Vm, now_ms: u64) -> VmStatus {
        let decided = self.decided(name);
        let holding = decided.map(|decided| decided.lease.holding);
        VmStatus {
            name: name.clone(),
            uid: vm.origin.uid,
            pid: vm.origin.pid,
            cgroup: vm.origin.cgroup.as_ref().map(|group| group.path().chars().take(CGROUP_SHOWN_CHARS).collect()),
            label: vm.label.clone(),
            class: decided.map_or_else(String::new, |decided| decided.standing.class.to_string()),
            weight: decided.map_or(0, |decided| decided.terms.weight),
            memory_bytes: vm.memory_bytes,
            lease_bytes: vm.told.lease_bytes,
            entitlement_bytes: holding.map_or(0, |holding| holding.entitlement_bytes),
            reservation_bytes: holding.map_or(0, |holding| holding.reservation_bytes),
            limit_bytes: holding.map_or(0, |holding| holding.limit_bytes),
            active_basis_points: decided.and_then(|decided| decided.active).map(policy::Percent::basis_points),
            counts_age_ms: vm.age_ms(now_ms),
            counts: vm.counts,
        }
    }

    /// The host, for an operator or for anybody.
    #[must_use]
    pub fn host(&self, is_operator: bool, now_ms: u64) -> Option<HostStatus> {
        let Decided { at_ms, observation, decision, .. } = self.last.as_ref()?;
        let host = observation.host;
        Some(HostStatus {
            state: word(&decision.host.state.level),
            cause: word(&decision.host.cause),
            mode: word(&decision.mode),
            total_bytes: host.total_bytes,
            available_bytes: host.available_bytes,
            psi_some_basis_points: host.psi.map(|psi| psi.some_avg10.basis_points()),
            psi_full_basis_points: host.psi.map(|psi| psi.full_avg10.basis_points()),
            pool_bytes: decision.pool.bytes,
            used_bytes: self.vms.values().map(Vm::used_bytes).fold(0, u64::saturating_add),
            freeable_bytes: self.vms.values().map(Vm::ephemeral_bytes).fold(0, u64::saturating_add),
            vms: self.vms.len() as u64,
            decisions: self.decisions,
            decided_ms_ago: now_ms.saturating_sub(*at_ms),
            policy_path: self.in_force.path.clone(),
            policy_generation: self.in_force.generation,
            policy_sha256: self.in_force.sha256.clone(),
            interval_ms: self.policy().interval.as_ms(),
            policy_error: self.in_force.error.as_ref().map(|error| error.to(is_operator).to_owned()),
        })
    }

    /// What was last decided about a VM, with every input.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where there is no such VM, or it came after the last decision.
    pub fn explain(&self, name: &VmName, now_ms: u64) -> Result<Value, Refusal> {
        let vm = self.vms.get(name).ok_or_else(|| no_such_vm(name))?;
        let found = self.last.as_ref().and_then(|last| Some((last, last.index(name)?)));
        let Some((last, index)) = found else {
            let message = format!("nothing was decided about {name} yet; ask again in a moment");
            return Err(Refusal::new(RefusalKind::Failed, message));
        };
        let decision = &last.decision;
        Ok(json!({
            "decided_ms_ago": now_ms.saturating_sub(last.at_ms),
            "mode": decision.mode,
            "policy": { "path": self.in_force.path, "generation": self.in_force.generation,
                        "sha256": self.in_force.sha256 },
            "host": decision.host,
            "pool": decision.pool,
            "vms": decision.vms.len(),
            "observed": last.observation.vms[index],
            "decided": decision.vms[index],
            "told": vm.told,
        }))
    }
}

/// A value that is one word of JSON.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
