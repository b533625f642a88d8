//! The decision of an interval, and the policy that it is made by.

use policy::Policy;
use policy::law::observation::{HostObservation, Observation};
use policy::law::{self, Decision};
use policy::schema::Mode;
use protocol::VmName;
use protocol::service::Lease;

use super::{Engine, InForce, Objection, Unservable};

/// The last decision.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) at_ms: u64,
    pub(super) observation: Observation,
    pub(super) decision: Decision,
    /// Whether anybody was told anything, or the host's state changed.
    pub(super) changed: bool,
}

impl Decided {
    /// Where a VM is in it: they are in the order of their names.
    pub(super) fn index(&self, name: &VmName) -> Option<usize> {
        self.decision.vms.binary_search_by(|decided| decided.name.as_str().cmp(name.as_str())).ok()
    }
}

impl Engine {
    /// Looks up what the processes of VMs hold and what their control groups leave, for some of them: all have their turn.
    pub fn look_at_processes(
        &mut self,
        most: usize,
        resident: impl Fn(i32) -> Option<u64>,
        mut room_bytes: impl FnMut(&observe::Cgroup) -> Option<u64>,
    ) {
        let count = self.vms.len().max(1);
        let first = usize::try_from(self.decisions).unwrap_or(0).wrapping_mul(most) % count;
        let turn = |index: usize| (index + count - first) % count < most;
        for (_, vm) in self.vms.values_mut().enumerate().filter(|(index, _)| turn(*index)) {
            vm.room_bytes = vm.origin.cgroup.as_ref().and_then(&mut room_bytes);
            vm.resident_bytes = resident(vm.origin.pid).unwrap_or(vm.resident_bytes);
        }
    }

    /// Makes the decision of an interval. Returns what VMs are to be told: those alone for which something changed.
    pub fn decide(&mut self, host: HostObservation) -> Vec<(VmName, Lease)> {
        let now_ms = host.now_ms;
        let policy = &self.in_force.policy;
        self.vms.values_mut().for_each(|vm| vm.count_if_it_rests(policy, now_ms));
        let vms = self.vms.iter().map(|(name, vm)| vm.observe(name, policy, now_ms)).collect();
        let observation = Observation { host, vms };
        let decision = law::decide(policy, self.state, &observation);
        self.state = decision.host.state;
        let has_settled = self.has_settled(now_ms);
        let mut changed = Vec::new();
        for ((name, vm), decided) in self.vms.iter_mut().zip(&decision.vms) {
            if has_settled {
                vm.lease_bytes = decided.lease.bytes;
            }
            let interval_ms = policy.interval.as_ms();
            let lease = match policy.mode {
                Mode::Enforce => Lease {
                    lease_bytes: vm.lease_bytes,
                    reservation_bytes: decided.terms.tmem_reservation_bytes.min(vm.lease_bytes),
                    accepts_ephemeral: !self.state.level.rejects_ephemeral(),
                    ephemeral_basis_points: decided.terms.tmem_ephemeral.basis_points(),
                    interval_ms,
                },
                // As if there were no policy: its own limit.
                Mode::Observe => Lease { lease_bytes: vm.counts.limit_bytes, interval_ms, ..Lease::NOTHING },
            };
            if lease != vm.told {
                vm.tell(lease);
                changed.push((name.clone(), lease));
            }
        }
        self.decisions += 1;
        let changed_state = decision.host.was.level != decision.host.state.level;
        let is_news = changed_state || !changed.is_empty();
        self.last = Some(Decided { at_ms: now_ms, observation, decision, changed: is_news });
        changed
    }

    pub(super) fn decided(&self, name: &VmName) -> Option<&law::VmDecision> {
        let last = self.last.as_ref()?;
        last.index(name).map(|index| &last.decision.vms[index])
    }

    /// Puts another policy in force. It is evaluated on what was last seen, without acting, and refused where a VM that runs
    /// would not have its reservation.
    ///
    /// # Errors
    ///
    /// The VMs that could not be served.
    pub(crate) fn change_policy(&mut self, policy: Policy, sha256: String) -> Result<(), Unservable> {
        if let Some(last) = &self.last {
            let decision = law::decide(&policy, self.state, &last.observation);
            let is_short = |decided: &&law::VmDecision| {
                decided.lease.holding.entitlement_bytes < decided.terms.tmem_reservation_bytes
            };
            let short: Vec<String> = decision.vms.iter().filter(is_short).map(|decided| decided.name.clone()).collect();
            if !short.is_empty() {
                return Err(Unservable(short));
            }
        }
        self.in_force =
            InForce { policy, sha256, generation: self.in_force.generation + 1, error: None, ..self.in_force.clone() };
        Ok(())
    }

    /// Says why the policy that is on the disk now is not in force. Returns whether that is news.
    pub(crate) fn note_policy_error(&mut self, error: Option<Objection>) -> bool {
        let is_news = error.is_some() && error != self.in_force.error;
        self.in_force.error = error;
        is_news
    }
}
