//! No service: the laws decide here, for this VM alone.
//!
//! There are no others to share with, so what is left of the policy is what the host needs: its marks, its reserve, the
//! size of the pool, and what the VM's class has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use observe::{Cgroup, Groups, HostFiles};
use policy::law::observation::{HostObservation, Identity, Observation, Statistics, VmObservation};
use policy::law::state::HostState;
use policy::law::{self, Decision};
use policy::schema::Mode;
use policy::{Percent, Policy, SizeOrPercent};
use protocol::service::Lease;

use super::Share;

/// The VM that a policy is for.
#[derive(Clone, Debug)]
pub struct LocalVm {
    /// Its name.
    pub name: String,
    /// Its label.
    pub label: Option<String>,
    /// The guest's memory.
    pub memory_bytes: u64,
    /// What its own configuration never gives up of its store.
    pub reservation_bytes: u64,
}

/// Decides what the store may hold, at each interval in which the guest uses it.
#[derive(Debug)]
pub struct LocalPolicy {
    policy: Policy,
    identity: Identity,
    memory_bytes: u64,
    reservation_bytes: u64,
    share: Arc<Share>,
    host: HostFiles,
    state: HostState,
    began: Instant,
    /// Whether it was said that the host cannot be observed.
    complained: bool,
}

impl LocalPolicy {
    /// The policy of a VM that nobody wrote one for: every default, but that it need leave no room to others.
    #[must_use]
    pub fn alone() -> Policy {
        let mut policy = Policy::default();
        for class in policy.class.values_mut() {
            class.tmem.limit = SizeOrPercent::Percent(Percent::ALL);
        }
        policy
    }

    /// Governs a share by a policy.
    #[must_use]
    pub fn new(policy: Policy, vm: LocalVm, share: Arc<Share>) -> Self {
        let LocalVm { name, label, memory_bytes, reservation_bytes } = vm;
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let identity = Identity {
            name,
            label,
            uid: rustix::process::geteuid().as_raw(),
            cgroup: Cgroup::of(pid).map(|group| group.path().to_owned()),
        };
        Self {
            policy,
            identity,
            memory_bytes,
            reservation_bytes,
            share,
            host: HostFiles::default(),
            state: HostState::default(),
            began: Instant::now(),
            complained: false,
        }
    }

    /// The store that it governs.
    pub(super) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// How often is decided while the guest uses its store.
    pub(super) fn interval(&self) -> Duration {
        self.policy.interval.duration()
    }

    /// Looks at the host and decides. Where it cannot be seen, what holds stays. Returns whether what was decided holds
    /// until the guest calls: where the host is short or a page can be evicted, it does not.
    pub(super) fn decide(&mut self) -> bool {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let before = self.share.limit_bytes();
        match self.host.observe(now_ms) {
            Ok(host) => self.act(host),
            Err(error) if !std::mem::replace(&mut self.complained, true) => {
                tracing::warn!(%error, "the host cannot be observed: the store's limit stays as it is");
            }
            Err(_) => {}
        }
        // On its way down, by steps.
        let shrinks = before.saturating_sub(self.share.limit_bytes()) >= self.policy.share.min_change.0.max(1);
        let is_calm = self.state == HostState::default();
        // MemAvailable falls without anybody being told, and who can give pages back has to see it.
        self.share.settle() && !shrinks && is_calm && self.share.counts().ephemeral_pages == 0
    }

    fn act(&mut self, host: HostObservation) {
        let decision = self.decision(host);
        let was = std::mem::replace(&mut self.state, decision.host.state).level;
        let now = self.state.level;
        if was != now {
            tracing::info!(?was, ?now, available_bytes = host.available_bytes, "the host's state changed");
        }
        let Some(decided) = decision.vms.first() else { return };
        let interval_ms = self.policy.interval.as_ms();
        self.share.set_lease(match decision.mode {
            Mode::Enforce => Lease {
                lease_bytes: decided.lease.bytes.max(self.reservation_bytes),
                reservation_bytes: decided.terms.tmem_reservation_bytes.max(self.reservation_bytes),
                accepts_ephemeral: !now.rejects_ephemeral(),
                ephemeral_basis_points: decided.terms.tmem_ephemeral.basis_points(),
                interval_ms,
            },
            Mode::Observe => Lease {
                lease_bytes: u64::MAX,
                reservation_bytes: self.reservation_bytes,
                accepts_ephemeral: true,
                ephemeral_basis_points: Lease::all(),
                interval_ms,
            },
        });
    }

    fn decision(&self, host: HostObservation) -> Decision {
        let counts = self.share.counts();
        let vm = VmObservation {
            identity: self.identity.clone(),
            memory_bytes: self.memory_bytes,
            resident_bytes: 0,
            weight: None,
            // Not the VM's own limit, which the share keeps to as well: the lease would have to follow when it is raised.
            limit_bytes: self.room_bytes().map(|room| counts.used_bytes.saturating_add(room)),
            lease_bytes: self.share.lease().lease_bytes,
            used_bytes: counts.used_bytes,
            ephemeral_bytes: counts.ephemeral_bytes,
            statistics: Statistics::default(),
        };
        law::decide(&self.policy, self.state, &Observation { host, vms: vec![vm] })
    }

    /// What the VM's control groups leave.
    fn room_bytes(&self) -> Option<u64> {
        let pid = i32::try_from(std::process::id()).ok()?;
        Groups::default().room_bytes(&Cgroup::of(pid)?)
    }
}
