//! What is asked of the service.

use serde::{Deserialize, Serialize};

use crate::VmName;

/// A message to the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServiceRequest {
    /// Makes the connection that of a VM. Answered by [`Registered`](crate::service::ServiceReply::Registered).
    Register(Registration),
    /// What the VM's store holds and did. Not answered.
    Report(Counts),
    /// The VMs, in the order of their names; those of the caller's user, or all for root and the service's own user.
    /// Answered by [`Vms`](crate::service::ServiceReply::Vms).
    List {
        /// Only names behind this one, for the next page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<VmName>,
    },
    /// The host. Answered by [`Host`](crate::service::ServiceReply::Host).
    Host,
    /// What was last decided about a VM, and from what. Answered by
    /// [`Explained`](crate::service::ServiceReply::Explained).
    Explain {
        /// The VM.
        vm: VmName,
    },
    /// Changes a VM's weight until it ends or the service does; for root and the service's own user. Answered by
    /// [`Done`](crate::service::ServiceReply::Done).
    SetWeight {
        /// The VM.
        vm: VmName,
        /// The weight, 1 to 10000; absent: that of its class again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<u32>,
    },
}

/// Who a VM is, by its own word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Its name.
    pub name: VmName,
    /// The label of its vm.toml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The guest's memory in bytes.
    pub memory_bytes: u64,
    /// Whether its guest runs already: it was here before, and is not admitted once more.
    pub runs: bool,
    /// The lease that it keeps to now, in bytes.
    pub lease_bytes: u64,
    /// What its store holds now.
    pub counts: Counts,
}

/// What a VM's store holds, and what it did since the VM started. Counted by the VM's process and not by its guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// The limit of its vm.toml, or what it was told since, in bytes.
    pub limit_bytes: u64,
    /// Host memory that its store holds, metadata included, in bytes.
    pub used_bytes: u64,
    /// The part of it that can be evicted, in bytes.
    pub ephemeral_bytes: u64,
    /// Whether new pages are rejected by a freeze.
    pub frozen: bool,
    /// Persistent pages held now.
    pub persistent_pages: u64,
    /// Ephemeral pages held now.
    pub ephemeral_pages: u64,
    /// Puts accepted.
    pub puts_accepted: u64,
    /// Puts answered `NO_SPACE`: the store's addresses are full.
    pub puts_rejected_no_space: u64,
    /// Puts answered `OVER_LIMIT`.
    pub puts_rejected_over_limit: u64,
    /// Puts answered `FROZEN`.
    pub puts_rejected_frozen: u64,
    /// Puts answered `POOR_RATIO`.
    pub puts_rejected_poor_ratio: u64,
    /// Puts answered `BUSY`.
    pub puts_rejected_busy: u64,
    /// Gets that found their page.
    pub gets_hit: u64,
    /// Gets answered `MISS`.
    pub gets_miss: u64,
    /// Gets answered `EMPTY`: nothing is held of that object.
    pub gets_empty: u64,
    /// Ephemeral pages that made way.
    pub pages_evicted: u64,
    /// Pages that turned out equal to another and share its place.
    pub pages_merged: u64,
    /// Pages held now as one repeated word.
    pub same_filled_pages: u64,
    /// The VM's guest leaves its store alone: before it calls, the VM reports once a minute and no more.
    #[serde(default)]
    pub rests: bool,
}

impl Counts {
    /// Puts rejected for want of room.
    #[must_use]
    pub fn puts_without_room(&self) -> u64 {
        self.puts_rejected_no_space.saturating_add(self.puts_rejected_over_limit)
    }

    /// Puts rejected for any reason.
    #[must_use]
    pub fn puts_rejected(&self) -> u64 {
        [self.puts_rejected_frozen, self.puts_rejected_poor_ratio, self.puts_rejected_busy]
            .into_iter()
            .fold(self.puts_without_room(), u64::saturating_add)
    }

    /// Pages asked for.
    #[must_use]
    pub fn gets(&self) -> u64 {
        self.gets_hit.saturating_add(self.gets_miss).saturating_add(self.gets_empty)
    }
}
