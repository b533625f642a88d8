//! Whether a VM may start.

use serde::Serialize;

use super::fill::sum;
use super::observation::HostObservation;
use super::standing::Terms;
use super::state::Level;
use crate::schema::Policy;

/// A VM that runs, or wants to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Resident {
    /// What it has a right to.
    pub terms: Terms,
    /// The guest's memory.
    pub memory_bytes: u64,
    /// How much of the guest's memory the host holds now; 0 for one that wants to start.
    pub resident_bytes: u64,
    /// What its store holds now.
    pub used_bytes: u64,
    /// The part of it that can be evicted.
    pub ephemeral_bytes: u64,
}

/// Whether a VM may start, why not, and from what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Admission {
    /// Why not; none: it may.
    pub refusals: Vec<Refusal>,
    /// What must be evicted before it starts: freeze, query, flush so much, allocate, thaw.
    pub flush_bytes: u64,
    /// What it was decided from.
    pub inputs: AdmissionInputs,
}

/// What an admission was decided from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AdmissionInputs {
    /// MemTotal.
    pub total_bytes: u64,
    /// MemAvailable.
    pub available_bytes: u64,
    /// How short the host is.
    pub level: Level,
    /// The memory of all VMs, the new one included.
    pub memory_bytes: u64,
    /// What the memory of all VMs may be.
    pub memory_limit_bytes: u64,
    /// The host's reserve.
    pub reserve_bytes: u64,
    /// What is reserved for all VMs, the new one included.
    pub reserved_bytes: u64,
    /// What is reserved for the new one.
    pub claim_bytes: u64,
    /// What is reserved for the others and not used by them yet.
    pub promised_bytes: u64,
    /// What can be evicted.
    pub freeable_bytes: u64,
}

/// Why a VM may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// the host is in state low
    #[error("the host is in state low: it has next to no memory left")]
    HostLow,
    /// all VMs together would have more memory than the policy allows
    #[error("all VMs together would have {memory_bytes} bytes, {limit_bytes} are allowed (`host.overcommit_limit`)")]
    Overcommit {
        /// What they would have.
        memory_bytes: u64,
        /// What they may have.
        limit_bytes: u64,
    },
    /// the reservations are more than the host has
    #[error("reservations and `host.reserve` would be {asked_bytes} bytes, the host has {total_bytes}")]
    Reservations {
        /// What they would be.
        asked_bytes: u64,
        /// What the host has.
        total_bytes: u64,
    },
    /// the reservations cannot be met now
    #[error("its reservations are {asked_bytes} bytes, {free_bytes} are free or can be evicted now (`host.claim`)")]
    Claim {
        /// What it asks for.
        asked_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
}

impl Admission {
    /// Whether the VM may start.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.refusals.is_empty()
    }
}

/// Whether a VM may start beside those that run. All reasons against it are told.
#[must_use]
pub fn admit(policy: &Policy, level: Level, host: HostObservation, running: &[Resident], new: &Resident) -> Admission {
    let total_bytes = host.total_bytes;
    let reserved = |vm: &Resident| vm.terms.memory_reservation_bytes.saturating_add(vm.terms.tmem_reservation_bytes);
    let promised = |vm: &Resident| {
        let memory = vm.terms.memory_reservation_bytes.saturating_sub(vm.resident_bytes);
        memory.saturating_add(vm.terms.tmem_reservation_bytes.saturating_sub(vm.used_bytes))
    };
    // Evicting below a reservation would only move what is missing.
    let freeable =
        |vm: &Resident| vm.ephemeral_bytes.min(vm.used_bytes.saturating_sub(vm.terms.tmem_reservation_bytes));
    let claim_bytes = reserved(new);
    let inputs = AdmissionInputs {
        total_bytes,
        available_bytes: host.available_bytes,
        level,
        memory_bytes: sum(running.iter().chain([new]).map(|vm| vm.memory_bytes)),
        memory_limit_bytes: policy.host.overcommit_limit.of(total_bytes),
        reserve_bytes: policy.host.reserve.bytes(total_bytes).unwrap_or(u64::MAX),
        reserved_bytes: sum(running.iter().chain([new]).map(reserved)),
        claim_bytes,
        promised_bytes: sum(running.iter().map(promised)),
        freeable_bytes: sum(running.iter().map(freeable)),
    };

    let free_bytes = inputs.available_bytes.saturating_sub(inputs.promised_bytes);
    let with_freeable =
        inputs.available_bytes.saturating_add(inputs.freeable_bytes).saturating_sub(inputs.promised_bytes);
    let asked_bytes = inputs.reserved_bytes.saturating_add(inputs.reserve_bytes);
    let mut refusals = Vec::new();
    if level.is_closed() {
        refusals.push(Refusal::HostLow);
    }
    if inputs.memory_bytes > inputs.memory_limit_bytes {
        let (memory_bytes, limit_bytes) = (inputs.memory_bytes, inputs.memory_limit_bytes);
        refusals.push(Refusal::Overcommit { memory_bytes, limit_bytes });
    }
    if asked_bytes > total_bytes {
        refusals.push(Refusal::Reservations { asked_bytes, total_bytes });
    }
    if policy.host.claim && claim_bytes > with_freeable {
        refusals.push(Refusal::Claim { asked_bytes: claim_bytes, free_bytes: with_freeable });
    }
    let flush_bytes = if policy.host.claim && refusals.is_empty() { claim_bytes.saturating_sub(free_bytes) } else { 0 };
    Admission { refusals, flush_bytes, inputs }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Percent;

    const HOST: HostObservation = HostObservation { now_ms: 0, total_bytes: 1000, available_bytes: 300, psi: None };

    fn vm(memory_bytes: u64, memory_reservation_bytes: u64, tmem_reservation_bytes: u64) -> Resident {
        let terms = Terms {
            weight: 100,
            memory_reservation_bytes,
            tmem_reservation_bytes,
            tmem_limit_bytes: u64::MAX,
            tmem_ephemeral: Percent::ALL,
        };
        Resident { terms, memory_bytes, resident_bytes: 0, used_bytes: 0, ephemeral_bytes: 0 }
    }

    fn refusals(level: Level, running: &[Resident], new: &Resident) -> Vec<Refusal> {
        admit(&Policy::default(), level, HOST, running, new).refusals
    }

    #[test]
    fn a_vm_that_fits_starts() {
        assert!(admit(&Policy::default(), Level::Hard, HOST, &[vm(700, 0, 0)], &vm(300, 200, 100)).is_admitted());
    }

    #[test]
    fn no_vm_starts_in_state_low() {
        assert_eq!(refusals(Level::Low, &[], &vm(1, 0, 0)), [Refusal::HostLow]);
    }

    #[test]
    fn the_memory_of_all_vms_is_within_the_overcommit_limit() {
        let refusal = Refusal::Overcommit { memory_bytes: 1001, limit_bytes: 1000 };
        assert_eq!(refusals(Level::High, &[vm(700, 0, 0)], &vm(301, 0, 0)), [refusal]);
    }

    #[test]
    fn the_reservations_and_the_hosts_reserve_fit_into_the_host() {
        let running = Resident { resident_bytes: 700, ..vm(700, 700, 0) };
        assert!(refusals(Level::High, &[running], &vm(300, 220, 0)).is_empty());
        let refusal = Refusal::Reservations { asked_bytes: 1001, total_bytes: 1000 };
        assert_eq!(refusals(Level::High, &[running], &vm(300, 221, 0)), [refusal]);
    }

    #[test]
    fn reservations_are_met_at_once_or_the_vm_waits() {
        let refusal = Refusal::Claim { asked_bytes: 301, free_bytes: 300 };
        assert_eq!(refusals(Level::High, &[], &vm(301, 301, 0)), [refusal]);
        let mut policy = Policy::default();
        policy.host.claim = false;
        assert!(admit(&policy, Level::High, HOST, &[], &vm(301, 301, 0)).is_admitted());
    }

    #[test]
    fn what_others_were_promised_is_not_free() {
        let refusal = Refusal::Claim { asked_bytes: 201, free_bytes: 200 };
        assert_eq!(refusals(Level::High, &[vm(100, 80, 20)], &vm(201, 201, 0)), [refusal]);
    }

    #[test]
    fn what_can_be_evicted_is_free_and_told_to_be_flushed() {
        let cache = Resident { used_bytes: 90, ephemeral_bytes: 80, ..vm(100, 0, 30) };
        let admission = admit(&Policy::default(), Level::High, HOST, &[cache], &vm(350, 350, 0));
        assert_eq!((admission.is_admitted(), admission.flush_bytes), (true, 50));
        let refusal = Refusal::Claim { asked_bytes: 361, free_bytes: 360 };
        assert_eq!(refusals(Level::High, &[cache], &vm(361, 361, 0)), [refusal], "not below a reservation");
    }

    #[test]
    fn all_reasons_are_told() {
        assert_eq!(refusals(Level::Low, &[vm(900, 900, 0)], &vm(900, 900, 0)).len(), 4);
    }

    proptest! {
        #[test]
        fn no_observation_overflows(numbers: [u64; 9], claim: bool) {
            let [total_bytes, available_bytes, a, b, c, resident_bytes, used_bytes, ephemeral_bytes, d] = numbers;
            let host = HostObservation { now_ms: 0, total_bytes, available_bytes, psi: None };
            let running = Resident { resident_bytes, used_bytes, ephemeral_bytes, ..vm(a, b, c) };
            let mut policy = Policy::default();
            policy.host.claim = claim;
            let admission = admit(&policy, Level::High, host, &[running; 3], &vm(d, d, a));
            prop_assert!(admission.flush_bytes <= admission.inputs.freeable_bytes);
        }
    }
}
