//! The control laws: pure functions of a policy and an observation. Nothing here has a clock, does I/O or acts.
//!
//! ```text
//!  HostObservation ──► state ──► Level ──┐
//!                                        ├─► pool ──► bytes ──┐
//!  VmObservation ──► standing ──► Terms ─┘                    ├─► share ──► entitlements ──► lease ──► Lease
//!                └─► activity ──► taxed weight, wanted ───────┘
//! ```
//!
//! [`decide`] is all of it for one interval. Each decision carries what it was made from, so that it can be explained
//! later and replayed under another policy. Numbers are whole: bytes, pages, hundredths of a percent.

pub mod activity;
pub mod admission;
mod fill;
pub mod lease;
pub mod observation;
pub mod pool;
pub mod share;
pub mod standing;
pub mod state;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::fill::{MOST, sum};
use self::lease::{Holding, Lease};
use self::observation::{Observation, VmObservation};
use self::pool::PoolDecision;
use self::share::Claim;
use self::standing::{Standing, Terms};
use self::state::{HostState, StateDecision};
use crate::schema::{Mode, Policy};
use crate::value::Percent;

/// What is decided in one interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Whether it is to be acted on.
    pub mode: Mode,
    /// How short the host is. Its `state` goes into the next decision.
    pub host: StateDecision,
    /// How large the pool is.
    pub pool: PoolDecision,
    /// Each VM, in the order of the observation.
    pub vms: Vec<VmDecision>,
}

/// What is decided for a VM, and from what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VmDecision {
    /// Its name.
    pub name: String,
    /// Its class.
    pub standing: Standing,
    /// What the class says for it.
    pub terms: Terms,
    /// The part of its pages in use; `None`: its statistics are stale, and it is not taxed.
    pub active: Option<Percent>,
    /// What it brought to the sharing out.
    pub claim: Claim,
    /// Its lease, with what it is entitled to.
    pub lease: Lease,
}

/// Decides for one interval: the host's state, the pool, and every VM's entitlement and lease.
#[must_use]
pub fn decide(policy: &Policy, was: HostState, observation: &Observation) -> Decision {
    let host = state::next(&policy.host, was, observation.host);
    let level = host.state.level;
    let standings: Vec<Standing> = observation.vms.iter().map(|vm| standing::standing(policy, &vm.identity)).collect();
    let terms_in = |pool_bytes| -> Vec<Terms> {
        let terms = |(vm, standing): (&VmObservation, &Standing)| {
            let terms = standing::terms(policy, standing, vm.memory_bytes, pool_bytes, vm.limit_bytes);
            Terms { weight: vm.weight.unwrap_or(terms.weight), ..terms }
        };
        observation.vms.iter().zip(&standings).map(terms).collect()
    };
    // A limit is a part of the largest pool and the pool is no smaller than the reservations, which are within the limits: those
    // of the largest pool are asked for first.
    let reserved = sum(terms_in(MOST).iter().map(|terms| terms.tmem_reservation_bytes));
    let in_use = sum(observation.vms.iter().map(|vm| vm.used_bytes.min(MOST)));
    let pool = pool::size(policy, level, observation.host, in_use, reserved);
    // Of the largest pool and not of the present one: where the pool stops to grow it is what the VMs hold, and one that
    // holds most of it would be cut to a part of that, and then to a part of the rest.
    let terms = terms_in(pool.max_bytes);

    let actives: Vec<Option<Percent>> = observation.vms.iter().map(|vm| active(policy, vm)).collect();
    let claims: Vec<Claim> = observation
        .vms
        .iter()
        .zip(&terms)
        .zip(&actives)
        .map(|((vm, terms), active)| claim(policy, vm, terms, *active))
        .collect();
    let entitlements = share::entitlements(policy.share.algorithm, pool.bytes, &claims);
    let holdings: Vec<Holding> = observation
        .vms
        .iter()
        .zip(&claims)
        .zip(entitlements)
        .map(|((vm, claim), entitlement_bytes)| Holding {
            entitlement_bytes,
            reservation_bytes: claim.reservation_bytes,
            limit_bytes: claim.limit_bytes,
            lease_bytes: vm.lease_bytes,
            used_bytes: vm.used_bytes,
        })
        .collect();
    let leases = lease::step(&policy.share, level, pool.bytes, &holdings);

    let mut vms = Vec::with_capacity(leases.len());
    for (((((vm, standing), terms), active), claim), lease) in
        observation.vms.iter().zip(standings).zip(terms).zip(actives).zip(claims).zip(leases)
    {
        vms.push(VmDecision { name: vm.identity.name.clone(), standing, terms, active, claim, lease });
    }
    Decision { mode: policy.mode, host, pool, vms }
}

fn active(policy: &Policy, vm: &VmObservation) -> Option<Percent> {
    (vm.statistics.age_ms <= policy.stats_stale_after.as_ms()).then(|| activity::active(&vm.statistics))
}

/// A VM whose statistics are stale is neither taxed nor asked for more; it wants what it has.
fn claim(policy: &Policy, vm: &VmObservation, terms: &Terms, active: Option<Percent>) -> Claim {
    let wanted_bytes = match active {
        Some(_) => share::wanted(vm.used_bytes, &vm.statistics),
        None => vm.used_bytes.max(vm.lease_bytes),
    };
    Claim {
        taxed_weight: activity::taxed_weight(terms.weight, active.unwrap_or(Percent::ALL), policy.share.idle_tax),
        reservation_bytes: terms.tmem_reservation_bytes,
        limit_bytes: terms.tmem_limit_bytes,
        used_bytes: vm.used_bytes,
        wanted_bytes,
    }
}
