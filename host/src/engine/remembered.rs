//! VMs whose connection has ended: one that comes back soon has its lease again, whatever it says it was.

use std::collections::BTreeMap;

use protocol::VmName;

use super::vm::Vm;

/// How long a VM is remembered.
const KEPT_MS: u64 = 60_000;

/// Most VMs that are remembered.
const KEPT_MAX: usize = 4096;

/// What a VM had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Had {
    uid: u32,
    left_ms: u64,
    /// Its lease.
    pub lease_bytes: u64,
    /// The weight that it was set to.
    pub weight: Option<u32>,
}

/// VMs that left lately.
#[derive(Debug, Default)]
pub(super) struct Remembered(BTreeMap<VmName, Had>);

impl Remembered {
    /// A VM leaves.
    pub(super) fn put(&mut self, name: &VmName, vm: &Vm, now_ms: u64) {
        if self.0.len() >= KEPT_MAX {
            self.0.retain(|_, had| now_ms.saturating_sub(had.left_ms) < KEPT_MS);
        }
        if self.0.len() < KEPT_MAX {
            let (lease_bytes, weight) = (vm.lease_bytes, vm.weight);
            self.0.insert(name.clone(), Had { uid: vm.origin.uid, left_ms: now_ms, lease_bytes, weight });
        }
    }

    /// A VM comes. Another user's VM of the same name is another VM.
    pub(super) fn take(&mut self, name: &VmName, uid: u32, now_ms: u64) -> Option<Had> {
        let had = self.0.remove(name)?;
        (had.uid == uid && now_ms.saturating_sub(had.left_ms) < KEPT_MS).then_some(had)
    }
}
