//! One VM: what the kernel says of it, what it says of itself, and what it was given.

use policy::law::observation::{Identity, Statistics, VmObservation};
use policy::schema::Policy;
use protocol::VmName;
use protocol::service::{Counts, Lease, Registration};

use super::window::Window;

/// How far a store may be above its lease for a moment: pools and buffers that are charged whatever the limit is.
const SLACK_BYTES: u64 = 4 << 20;

/// How long a VM that rests is believed to: it reports once a minute.
const RESTS_MS: u64 = 150_000;

/// Who a connection belongs to, as the kernel vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// User id.
    pub uid: u32,
    /// Process; 0 where that is in another PID namespace.
    pub pid: i32,
    /// Control group, where it could be read.
    pub cgroup: Option<observe::Cgroup>,
}

/// A VM that is registered.
#[derive(Debug)]
pub(super) struct Vm {
    pub(super) origin: Origin,
    pub(super) label: Option<String>,
    pub(super) memory_bytes: u64,
    /// What an operator set in place of the class's.
    pub(super) weight: Option<u32>,
    pub(super) counts: Counts,
    /// When the counts were as they are: when it reported them, or later while it rests.
    counted_ms: u64,
    /// When it last reported.
    reported_ms: u64,
    window: Window,
    /// Pages rejected for want of room between its last two reports.
    rejected_pages: u64,
    /// What was last decided.
    pub(super) lease_bytes: u64,
    /// What the VM was last told.
    pub(super) told: Lease,
    /// What it was told at most, until it said that it holds less.
    ceiling_bytes: u64,
    /// What its control groups leave.
    pub(super) room_bytes: Option<u64>,
    /// What its process holds, its store included; 0 where the kernel does not say.
    pub(super) resident_bytes: u64,
}

impl Vm {
    /// A VM that comes with this lease. `resident_bytes` is what its process holds.
    pub(super) fn new(
        origin: Origin,
        registration: Registration,
        lease_bytes: u64,
        resident_bytes: u64,
        now_ms: u64,
    ) -> Self {
        let Registration { label, memory_bytes, counts, runs, .. } = registration;
        let told = Lease { lease_bytes, ..Lease::NOTHING };
        Self {
            origin,
            label,
            memory_bytes,
            weight: None,
            counts,
            counted_ms: now_ms,
            reported_ms: now_ms,
            window: Window::default(),
            rejected_pages: 0,
            lease_bytes,
            told,
            ceiling_bytes: if runs { lease_bytes.max(resident_bytes) } else { lease_bytes },
            room_bytes: None,
            resident_bytes,
        }
    }

    /// Takes down what the VM counted.
    pub(super) fn count(&mut self, policy: &Policy, counts: Counts, now_ms: u64) {
        self.rejected_pages = counts.puts_without_room().saturating_sub(self.counts.puts_without_room());
        self.counts = counts;
        self.counted_ms = now_ms;
        self.reported_ms = now_ms;
        self.add_to_window(policy, now_ms);
        self.ceiling_bytes = self.told.lease_bytes.max(self.ceiling_bytes.min(counts.used_bytes));
    }

    /// A VM that said to rest has put and loaded nothing since, or it would have said so: its last report is as good as new,
    /// for as long as it has another one in that time.
    pub(super) fn count_if_it_rests(&mut self, policy: &Policy, now_ms: u64) {
        if self.counts.rests && now_ms.saturating_sub(self.reported_ms) < RESTS_MS {
            self.rejected_pages = 0;
            self.counted_ms = now_ms;
            self.add_to_window(policy, now_ms);
        }
    }

    fn add_to_window(&mut self, policy: &Policy, now_ms: u64) {
        let stored = self.counts.persistent_pages.saturating_add(self.counts.ephemeral_pages);
        self.window.add(now_ms, self.counts.gets_hit, stored, policy.share.idle_after.as_ms());
    }

    /// Takes down what the VM is told.
    pub(super) fn tell(&mut self, lease: Lease) {
        self.told = lease;
        self.ceiling_bytes = self.ceiling_bytes.max(lease.lease_bytes);
    }

    /// What its store can hold: its lease, and of what it was told before as much as its process holds in fact. What it
    /// was told may be its own word, in mode observe or of a lease from before the service started.
    fn most_bytes(&self) -> u64 {
        self.lease_bytes.max(self.ceiling_bytes.min(self.resident_bytes))
    }

    /// What its store holds. A VM that says to hold more than it can does not get the others' room.
    pub(super) fn used_bytes(&self) -> u64 {
        self.counts.used_bytes.min(self.most_bytes().saturating_add(SLACK_BYTES))
    }

    /// Whether it says to hold more than it can.
    pub(super) fn exaggerates(&self) -> bool {
        self.counts.used_bytes > self.used_bytes()
    }

    /// What of it can be evicted.
    pub(super) fn ephemeral_bytes(&self) -> u64 {
        self.counts.ephemeral_bytes.min(self.used_bytes())
    }

    /// Age of its counts.
    pub(super) fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.counted_ms)
    }

    /// How much of the guest's memory the host holds.
    pub(super) fn guest_bytes(&self) -> u64 {
        self.resident_bytes.saturating_sub(self.used_bytes()).min(self.memory_bytes)
    }

    /// The VM as the laws see it.
    pub(super) fn observe(&self, name: &VmName, policy: &Policy, now_ms: u64) -> VmObservation {
        let seen = self.window.seen(policy.share.idle_after.as_ms());
        let room = self.room_bytes.map_or(u64::MAX, |room| self.used_bytes().saturating_add(room));
        VmObservation {
            identity: self.identity(name),
            memory_bytes: self.memory_bytes,
            resident_bytes: self.guest_bytes(),
            weight: self.weight,
            limit_bytes: Some(self.counts.limit_bytes.min(room)),
            lease_bytes: self.lease_bytes,
            used_bytes: self.used_bytes(),
            ephemeral_bytes: self.ephemeral_bytes(),
            statistics: Statistics {
                age_ms: self.age_ms(now_ms),
                hit_pages: seen.hit_pages,
                stored_pages: seen.stored_pages,
                rejected_pages: self.rejected_pages,
            },
        }
    }

    /// Its name and label are its own word, the rest is the kernel's.
    pub(super) fn identity(&self, name: &VmName) -> Identity {
        Identity {
            name: name.to_string(),
            label: self.label.clone(),
            uid: self.origin.uid,
            cgroup: self.origin.cgroup.as_ref().map(|group| group.path().to_owned()),
        }
    }
}
