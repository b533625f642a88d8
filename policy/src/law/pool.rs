//! How large the pool is: the memory of all stores together.

use serde::Serialize;

use super::fill::MOST;
use super::observation::HostObservation;
use super::state::Level;
use crate::schema::Policy;
use crate::value::SizeOrPercent;

/// The pool's size, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PoolDecision {
    /// The size.
    pub bytes: u64,
    /// What it is never above: `pool.size_max`, and what the host's reserve leaves.
    pub max_bytes: u64,
    /// What it is never below: `pool.size_min` and all reservations, as far as `max_bytes` has room.
    pub min_bytes: u64,
    /// What all stores hold now.
    pub in_use_bytes: u64,
    /// What the host could give besides: MemAvailable above the mark of state clear. 0 but in state high.
    pub spare_bytes: u64,
    /// What the host lacks to leave state soft. 0 but in state soft and below.
    pub missing_bytes: u64,
}

/// The pool's size: in state high what is in use and what the host can spare, in state clear what is in use, below that
/// less by what the host lacks.
#[must_use]
pub fn size(
    policy: &Policy,
    level: Level,
    host: HostObservation,
    in_use_bytes: u64,
    reserved_bytes: u64,
) -> PoolDecision {
    let bytes = |size: SizeOrPercent| size.bytes(host.total_bytes).unwrap_or(u64::MAX);
    let marks = &policy.host.watermarks;
    let beside_reserve = host.total_bytes.saturating_sub(bytes(policy.host.reserve));
    let max_bytes = bytes(policy.pool.size_max).min(beside_reserve).min(MOST);
    let min_bytes = bytes(policy.pool.size_min).max(reserved_bytes).min(max_bytes);
    let spare_bytes = if level == Level::High { host.available_bytes.saturating_sub(bytes(marks.clear)) } else { 0 };
    let leave_soft = bytes(marks.soft).saturating_add(bytes(marks.hysteresis));
    let missing_bytes = if level >= Level::Soft { leave_soft.saturating_sub(host.available_bytes) } else { 0 };
    let wanted = in_use_bytes.saturating_add(spare_bytes).saturating_sub(missing_bytes);
    let bytes = wanted.clamp(min_bytes, max_bytes);
    PoolDecision { bytes, max_bytes, min_bytes, in_use_bytes, spare_bytes, missing_bytes }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn host(available_gib: u64) -> HostObservation {
        HostObservation { now_ms: 0, total_bytes: 100 * GIB, available_bytes: available_gib * GIB, psi: None }
    }

    fn gib(level: Level, available_gib: u64, in_use_gib: u64) -> u64 {
        size(&Policy::default(), level, host(available_gib), in_use_gib * GIB, 0).bytes / GIB
    }

    #[test]
    fn the_pool_grows_by_what_the_host_can_spare_up_to_its_largest_size() {
        assert_eq!(gib(Level::High, 30, 5), 15);
        assert_eq!(gib(Level::High, 90, 5), 40);
    }

    #[test]
    fn the_pool_stops_to_grow_and_then_gives_back_what_the_host_lacks() {
        assert_eq!(gib(Level::Clear, 19, 15), 15);
        assert_eq!(gib(Level::Clear, 25, 15), 15, "above the mark, and not for long enough");
        assert_eq!(gib(Level::Soft, 11, 15), 12, "14 GiB of MemAvailable leave the state");
        assert_eq!(gib(Level::Low, 1, 30), 17);
        assert_eq!(size(&Policy::default(), Level::Low, host(1), 5 * GIB, 0).bytes, GIB / 2, "size_min");
    }

    #[test]
    fn reservations_keep_the_pool_as_large_as_they_are() {
        assert_eq!(size(&Policy::default(), Level::Low, host(1), 5 * GIB, 4 * GIB).bytes, 4 * GIB);
        assert_eq!(size(&Policy::default(), Level::Low, host(1), 5 * GIB, 99 * GIB).bytes, 40 * GIB);
    }

    proptest! {
        #[test]
        fn no_observation_makes_the_pool_larger_than_it_may_be(
            total_bytes: u64, available_bytes: u64, in_use: u64, reserved: u64,
        ) {
            let host = HostObservation { now_ms: 0, total_bytes, available_bytes, psi: None };
            for level in [Level::High, Level::Clear, Level::Soft, Level::Hard, Level::Low] {
                let pool = size(&Policy::default(), level, host, in_use, reserved);
                prop_assert!(pool.bytes <= total_bytes / 100 * 40 + 40);
                prop_assert!((pool.min_bytes..=pool.max_bytes).contains(&pool.bytes));
            }
        }
    }
}
