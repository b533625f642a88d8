//! The VMs of the host and what they are given: everything that is decided, and nothing that is read or sent.
//!
//! ```text
//!  register, count, leave ──► Engine ──► decide: law::decide ──► leases that changed
//! ```
//!
//! What a VM says of itself is taken where it is about itself alone, and bounded where it could cost others something:
//! its name is its for as long as it is connected; what it holds is at most what it was given, or what its process holds in
//! fact; a lease that it claims to have had counts only while the service has just started.

mod objection;
mod remembered;
mod settings;
#[cfg(test)]
mod tests;
mod vm;
mod window;

use std::collections::BTreeMap;

use policy::Policy;
use policy::law::admission::{Admission, Resident, admit};
use policy::law::observation::{HostObservation, Observation};
use policy::law::standing::Terms;
use policy::law::state::{HostState, Level};
use policy::law::{self, Decision, pool, standing};
use policy::schema::Mode;
use protocol::service::{
    Counts, HostStatus, LABEL_MAX_BYTES, Lease, Registration, StoreSettings, VMS_PER_PAGE, VmStatus, VmsPage,
};
use protocol::{Refusal, RefusalKind, VmName};
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) use self::objection::{Objection, Unservable};
use self::remembered::Remembered;
pub use self::vm::Origin;
use self::vm::Vm;

/// How long after its start the service gives nothing: VMs that kept their lease while it was away come back meanwhile,
/// and what they hold must not be given to others. Longer than the pause between two attempts of a VM.
pub const SETTLE_MS: u64 = 3000;

/// A decision that changes nothing is logged this often.
const LOG_AT_LEAST_MS: u64 = 10_000;

/// Most of a control group's path that is told.
const CGROUP_SHOWN_CHARS: usize = 200;

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

/// The last decision.
#[derive(Debug)]
struct Decided {
    at_ms: u64,
    observation: Observation,
    decision: Decision,
    /// Whether anybody was told anything, or the host's state changed.
    changed: bool,
}

impl Decided {
    /// Where a VM is in it: they are in the order of their names.
    fn index(&self, name: &VmName) -> Option<usize> {
        self.decision.vms.binary_search_by(|decided| decided.name.as_str().cmp(name.as_str())).ok()
    }
}

/// A line of the decision log.
#[derive(Serialize)]
struct LogLine<'a> {
    unix_ms: u64,
    generation: u64,
    sha256: &'a str,
    observation: &'a Observation,
    decision: &'a Decision,
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

/// A VM that comes in.
#[derive(Debug)]
pub struct Admitted {
    /// What holds for it until the next decision.
    pub lease: Lease,
    /// How its store is to work.
    pub store: StoreSettings,
    /// What others are to evict for it.
    pub flush: Vec<(VmName, u64)>,
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

    /// Lets a VM in, if its name is free and the host has room for it. `host` is the host as it is now, `resident` how
    /// much memory its process holds.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with every reason.
    pub fn register(
        &mut self,
        origin: Origin,
        registration: Registration,
        host: HostObservation,
        resident: impl Fn(i32) -> Option<u64>,
    ) -> Result<Admitted, Refusal> {
        let now_ms = host.now_ms;
        let name = registration.name.clone();
        if self.vms.contains_key(&name) {
            let message = format!("a VM named {name} is registered already");
            return Err(Refusal::new(RefusalKind::NameTaken, message));
        }
        if let Some(label) = &registration.label
            && (!(1..=LABEL_MAX_BYTES).contains(&label.len()) || !label.chars().all(|c| matches!(c, ' '..='~')))
        {
            let message = format!("a label has 1 to {LABEL_MAX_BYTES} printable ASCII characters");
            return Err(Refusal::new(RefusalKind::Invalid, message));
        }
        let (memory_bytes, total_bytes) = (registration.memory_bytes, host.total_bytes);
        if memory_bytes > total_bytes {
            let message = format!("a guest's memory of {memory_bytes} bytes is more than the host's {total_bytes}");
            return Err(Refusal::new(RefusalKind::Invalid, message));
        }
        let remembered = self.remembered.take(&name, origin.uid, now_ms).filter(|_| registration.runs);
        let lease_bytes = match remembered {
            Some(remembered) => remembered.lease_bytes,
            // One that kept its lease while there was no service. No service gave more than this.
            None if registration.runs && !self.has_settled(now_ms) => {
                registration.lease_bytes.min(registration.counts.limit_bytes).min(self.largest_pool_bytes(host))
            }
            None => 0,
        };
        let runs = registration.runs;
        let resident_bytes = resident(origin.pid).unwrap_or(0);
        let mut vm = Vm::new(origin, registration, lease_bytes, resident_bytes, now_ms);
        vm.weight = remembered.and_then(|remembered| remembered.weight);
        let flush_bytes = if runs { 0 } else { self.admit(&name, &vm, host)? };
        let flush = self.flush_shares(flush_bytes, host);
        let counts = vm.counts;
        vm.count(&self.in_force.policy, counts, now_ms);
        let interval_ms = self.policy().interval.as_ms();
        vm.tell(Lease { lease_bytes, interval_ms, ..Lease::NOTHING });
        let lease = vm.told;
        self.vms.insert(name, vm);
        Ok(Admitted { lease, store: settings::of(self.policy()), flush })
    }

    /// What the pool is never above on this host.
    fn largest_pool_bytes(&self, host: HostObservation) -> u64 {
        pool::size(self.policy(), self.state.level, host, 0, 0).max_bytes
    }

    /// What a VM has a right to. Of the largest pool, as the law has it.
    fn terms(&self, name: &VmName, vm: &Vm, host: HostObservation) -> Terms {
        let standing = standing::standing(self.policy(), &vm.identity(name));
        let pool_bytes = self.largest_pool_bytes(host);
        standing::terms(self.policy(), &standing, vm.memory_bytes, pool_bytes, Some(vm.counts.limit_bytes))
    }

    /// Whether a new VM may start, and what must be evicted for it. In mode observe every VM may.
    fn admit(&self, name: &VmName, vm: &Vm, host: HostObservation) -> Result<u64, Refusal> {
        let as_resident = |name: &VmName, vm: &Vm, resident_bytes| {
            let terms = self.terms(name, vm, host);
            let (memory_bytes, used_bytes, ephemeral_bytes) = (vm.memory_bytes, vm.used_bytes(), vm.ephemeral_bytes());
            Resident { terms, memory_bytes, resident_bytes, used_bytes, ephemeral_bytes }
        };
        let running: Vec<Resident> =
            self.vms.iter().map(|(name, vm)| as_resident(name, vm, vm.guest_bytes())).collect();
        let admission = admit(self.policy(), self.state.level, host, &running, &as_resident(name, vm, 0));
        match self.policy().mode {
            Mode::Enforce if admission.is_admitted() => Ok(admission.flush_bytes),
            Mode::Enforce => Err(refused(name, &admission)),
            Mode::Observe => {
                tracing::info!(%name, ?admission, "admission, observed only");
                Ok(0)
            }
        }
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

    /// Puts another policy in force. It is evaluated on what was last seen, without acting, and refused where a VM that runs
    /// would not have its reservation.
    ///
    /// # Errors
    ///
    /// The VMs that could not be served.
    pub fn change_policy(&mut self, policy: Policy, sha256: String) -> Result<(), Unservable> {
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
    pub fn note_policy_error(&mut self, error: Option<Objection>) -> bool {
        let is_news = error.is_some() && error != self.in_force.error;
        self.in_force.error = error;
        is_news
    }

    /// The last decision with all that it was made from, as a line of the decision log; `None` where it changed nothing and
    /// one like it was logged lately.
    #[must_use]
    pub fn log_line(&mut self, unix_ms: u64) -> Option<Vec<u8>> {
        let last = self.last.as_ref()?;
        let is_due = self.logged_ms.is_none_or(|at| last.at_ms.saturating_sub(at) >= LOG_AT_LEAST_MS);
        if !is_due && !last.changed {
            return None;
        }
        self.logged_ms = Some(last.at_ms);
        let (generation, sha256) = (self.in_force.generation, &self.in_force.sha256);
        let line = LogLine { unix_ms, generation, sha256, observation: &last.observation, decision: &last.decision };
        serde_json::to_vec(&line).ok()
    }

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

    /// What each VM is to evict so that so much comes back: those furthest above their entitlement first, and none below
    /// its reservation, as [`admit`] counts it.
    fn flush_shares(&self, bytes: u64, host: HostObservation) -> Vec<(VmName, u64)> {
        if bytes == 0 {
            return Vec::new();
        }
        let mut above: Vec<(u64, &VmName, u64)> = self
            .vms
            .iter()
            .map(|(name, vm)| {
                let entitlement = self.decided(name).map_or(0, |decided| decided.lease.holding.entitlement_bytes);
                let unreserved = vm.used_bytes().saturating_sub(self.terms(name, vm, host).tmem_reservation_bytes);
                (vm.used_bytes().saturating_sub(entitlement), name, vm.ephemeral_bytes().min(unreserved))
            })
            .collect();
        above.sort_by_key(|(above, ..)| std::cmp::Reverse(*above));
        let mut left = bytes;
        let mut shares = Vec::new();
        for (_, name, freeable) in above {
            let share = freeable.min(left);
            if share > 0 {
                shares.push((name.clone(), share));
                left -= share;
            }
        }
        shares
    }

    fn decided(&self, name: &VmName) -> Option<&law::VmDecision> {
        let last = self.last.as_ref()?;
        last.index(name).map(|index| &last.decision.vms[index])
    }

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

    /// The user of a VM's process.
    #[must_use]
    pub fn owner(&self, name: &VmName) -> Option<u32> {
        self.vms.get(name).map(|vm| vm.origin.uid)
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

    /// How short the host is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.state.level
    }
}

/// A value that is one word of JSON.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The answer about a VM that is not there, or not the caller's.
pub(crate) fn no_such_vm(name: &VmName) -> Refusal {
    Refusal::new(RefusalKind::NoSuchVm, format!("no VM named {name} is registered with the host service"))
}

fn refused(name: &VmName, admission: &Admission) -> Refusal {
    let reasons: Vec<String> = admission.refusals.iter().map(ToString::to_string).collect();
    Refusal::new(RefusalKind::NotAdmitted, format!("{name} may not start: {}", reasons.join("; ")))
}
