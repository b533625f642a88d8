//! VMs that come in: whether they may, with what, and what others evict for them.

use policy::law::admission::{Admission, Resident, admit};
use policy::law::observation::HostObservation;
use policy::law::pool;
use policy::law::standing::{self, Terms};
use policy::schema::Mode;
use protocol::service::{LABEL_MAX_BYTES, Lease, Registration, StoreSettings};
use protocol::{Refusal, RefusalKind, VmName};

use super::vm::{Origin, Vm};
use super::{Engine, settings};

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
        let runs = registration.runs;
        let resident_bytes = resident(origin.pid).unwrap_or(0);
        let lease_bytes = match remembered {
            Some(remembered) => remembered.lease_bytes,
            None if runs => {
                // It kept its lease while there was no service. No service gave more than this.
                let counts = registration.counts;
                let kept = registration.lease_bytes.min(counts.limit_bytes).min(self.largest_pool_bytes(host));
                let is_late = self.has_settled(now_ms);
                // The others have what it does not hold in fact.
                if is_late { kept.min(counts.used_bytes).min(resident_bytes) } else { kept }
            }
            None => 0,
        };
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

    /// What each VM is to evict so that so much comes back: those furthest above their entitlement first, and none below
    /// its reservation, as [`admit`] counts it.
    pub(super) fn flush_shares(&self, bytes: u64, host: HostObservation) -> Vec<(VmName, u64)> {
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
}

fn refused(name: &VmName, admission: &Admission) -> Refusal {
    let reasons: Vec<String> = admission.refusals.iter().map(ToString::to_string).collect();
    Refusal::new(RefusalKind::NotAdmitted, format!("{name} may not start: {}", reasons.join("; ")))
}
