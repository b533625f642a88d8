//! VMs whose connection has ended: one that comes back soon has its lease again, whatever it says it was.

use std::collections::BTreeMap;

use protocol::VmName;

use super::vm::Vm;

/// How long a VM is remembered.
const KEPT_MS: u64 = 60_000;

/// Most VMs that are remembered.
const KEPT_MAX: usize = 4096;

/// Most VMs of a user that are remembered.
const KEPT_OF_A_USER: usize = 1024;

/// What a VM had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Had {
    left_ms: u64,
    /// Its lease.
    pub lease_bytes: u64,
    /// The weight that it was set to.
    pub weight: Option<u32>,
}

impl Had {
    fn is_kept(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.left_ms) < KEPT_MS
    }
}

/// VMs that left lately, by user: another user's VM of the same name is another VM.
#[derive(Debug, Default)]
pub(super) struct Remembered(BTreeMap<u32, BTreeMap<VmName, Had>>);

impl Remembered {
    /// A VM leaves. One that had nothing is not remembered.
    pub(super) fn put(&mut self, name: &VmName, vm: &Vm, now_ms: u64) {
        let had = Had { left_ms: now_ms, lease_bytes: vm.lease_bytes, weight: vm.weight };
        if had.lease_bytes > 0 || had.weight.is_some() {
            self.keep(vm.origin.uid, name, had, now_ms);
        }
    }

    fn keep(&mut self, uid: u32, name: &VmName, had: Had, now_ms: u64) {
        if !self.has_room(uid) {
            self.0.values_mut().for_each(|vms| vms.retain(|_, had| had.is_kept(now_ms)));
            self.0.retain(|_, vms| !vms.is_empty());
        }
        if self.has_room(uid) {
            self.0.entry(uid).or_default().insert(name.clone(), had);
        }
    }

    fn has_room(&self, uid: u32) -> bool {
        let of_user = self.0.get(&uid).map_or(0, BTreeMap::len);
        of_user < KEPT_OF_A_USER && self.0.values().map(BTreeMap::len).sum::<usize>() < KEPT_MAX
    }

    /// A VM comes.
    pub(super) fn take(&mut self, name: &VmName, uid: u32, now_ms: u64) -> Option<Had> {
        let vms = self.0.get_mut(&uid)?;
        let had = vms.remove(name)?;
        if vms.is_empty() {
            self.0.remove(&uid);
        }
        had.is_kept(now_ms).then_some(had)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(remembered: &mut Remembered, uid: u32, name: &str, now_ms: u64) {
        let had = Had { left_ms: now_ms, lease_bytes: 1, weight: None };
        remembered.keep(uid, &name.parse().unwrap(), had, now_ms);
    }

    #[test]
    fn one_user_cannot_fill_the_memory_of_the_others() {
        let mut remembered = Remembered::default();
        (0..5000).for_each(|n| keep(&mut remembered, 1, &format!("vm{n}"), 0));
        keep(&mut remembered, 2, "vm", 0);
        assert!(remembered.take(&"vm".parse().unwrap(), 2, 0).is_some());
        assert_eq!(remembered.0[&1].len(), KEPT_OF_A_USER);
        assert!(!remembered.0.contains_key(&2));
    }

    #[test]
    fn what_is_too_old_makes_room() {
        let mut remembered = Remembered::default();
        for uid in 0..4 {
            (0..1024).for_each(|n| keep(&mut remembered, uid, &format!("vm{n}"), 0));
        }
        let late: VmName = "late".parse().unwrap();
        keep(&mut remembered, 9, "late", KEPT_MS - 1);
        assert!(remembered.take(&late, 9, KEPT_MS - 1).is_none(), "it is full");
        keep(&mut remembered, 9, "late", KEPT_MS);
        assert!(remembered.take(&late, 9, KEPT_MS).is_some());
        assert!(remembered.0.is_empty());
    }
}
