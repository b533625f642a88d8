//! Leases: what each store may hold from now on, on the way to what its VM is entitled to.
//!
//! Given at once, taken slowly: what is above an entitlement shrinks by steps, unless the pool is full or the host is
//! short. Limits and reservations never wait.

use serde::Serialize;

use super::fill::{MOST, Taker, fill, sum};
use super::state::Level;
use crate::schema::Share;

/// A VM's lease and what it is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// What it is entitled to.
    pub entitlement_bytes: u64,
    /// What is never taken from it.
    pub reservation_bytes: u64,
    /// What it never exceeds.
    pub limit_bytes: u64,
    /// What it may hold until now.
    pub lease_bytes: u64,
    /// What it holds.
    pub used_bytes: u64,
}

/// A lease, why, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// What the VM's store may hold from now on.
    pub bytes: u64,
    /// Why.
    pub reason: Reason,
    /// From what.
    pub holding: Holding,
}

/// Why a lease is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It is what the VM is entitled to.
    Entitled,
    /// The change would be too small to matter.
    SmallChange,
    /// It was below the VM's reservation, which is given at once.
    Reservation,
    /// It was above the VM's limit.
    Limit,
    /// It shrinks by a step.
    ShrinkStep,
    /// It shrinks at once, because the host is short.
    HostShort,
    /// It shrinks more than by a step, because the leases together were more than the pool.
    PoolFull,
    /// It grows by a step, or by all that is lacking.
    Grow,
    /// It should grow, and others still hold what it would get.
    NoRoom,
}

/// The next leases. Their sum is at most the pool; none is above its limit; none is below its reservation, as far as the
/// entitlement has it.
#[must_use]
pub fn step(share: &Share, level: Level, pool_bytes: u64, holdings: &[Holding]) -> Vec<Lease> {
    let pool = pool_bytes.min(MOST);
    let mut leases: Vec<Lease> = holdings.iter().map(|holding| held(*holding, level)).collect();
    for lease in &mut leases {
        shrink(lease, share, level);
    }
    fit(&mut leases, level, pool);
    grow(&mut leases, share, level, pool);
    leases
}

/// What a VM's lease goes to: what it is entitled to, and when the host is all but out of memory only its reservation.
fn target(holding: &Holding, level: Level) -> u64 {
    let entitled = holding.entitlement_bytes.min(holding.limit_bytes).min(MOST);
    if level.is_closed() { entitled.min(holding.reservation_bytes) } else { entitled }
}

/// The lease as it is, within limit and reservation.
fn held(holding: Holding, level: Level) -> Lease {
    let target = target(&holding, level);
    let reserved = holding.reservation_bytes.min(target);
    let within_limit = holding.lease_bytes.min(holding.limit_bytes).min(MOST);
    let (bytes, reason) = if within_limit < reserved {
        (reserved, Reason::Reservation)
    } else if within_limit < holding.lease_bytes {
        (within_limit, Reason::Limit)
    } else if within_limit == target {
        (within_limit, Reason::Entitled)
    } else {
        (within_limit, Reason::SmallChange)
    };
    Lease { bytes, reason, holding }
}

fn shrink(lease: &mut Lease, share: &Share, level: Level) {
    let gap = lease.bytes.saturating_sub(target(&lease.holding, level));
    let smallest = share.min_change.0.max(1);
    if gap < smallest {
        return;
    }
    if level.shrinks_at_once() {
        lease.bytes -= gap;
        lease.reason = Reason::HostShort;
    } else {
        // A step that is too small to matter would be made for ever.
        lease.bytes -= share.shrink_step.of(gap).max(smallest).min(gap);
        lease.reason = Reason::ShrinkStep;
    }
}

/// Takes what is above the pool from those above their target, in proportion to how far. Because the targets together
/// are not above the pool, that is enough.
fn fit(leases: &mut [Lease], level: Level, pool: u64) {
    let above = sum(leases.iter().map(|lease| lease.bytes)).saturating_sub(pool);
    let excess = |lease: &Lease| lease.bytes.saturating_sub(target(&lease.holding, level));
    let takers: Vec<Taker> = leases.iter().map(excess).map(|bytes| Taker { cap: bytes, weight: bytes }).collect();
    for (lease, taken) in leases.iter_mut().zip(fill(above, &takers)) {
        if taken > 0 {
            lease.bytes -= taken;
            lease.reason = Reason::PoolFull;
        }
    }
}

/// Gives to those below their target. First as far as they hold it anyway, which takes no memory; then what is free:
/// neither leased nor, by a store that cannot shrink as fast as its lease, still in use.
fn grow(leases: &mut [Lease], share: &Share, level: Level, pool: u64) {
    let smallest = share.min_change.0.max(1);
    let next = |lease: &Lease| {
        let gap = target(&lease.holding, level).saturating_sub(lease.bytes);
        lease.bytes + if gap < smallest { 0 } else { share.grow_step.of(gap).max(smallest).min(gap) }
    };
    let (before, next): (Vec<u64>, Vec<u64>) = leases.iter().map(|lease| (lease.bytes, next(lease))).unzip();

    let leased = sum(before.iter().copied());
    let held = leases.iter().zip(&next).map(|(lease, next)| lease.holding.used_bytes.min(*next)).collect::<Vec<_>>();
    give(leases, pool.saturating_sub(leased), &held);
    let taken = sum(leases.iter().map(|lease| lease.bytes.max(lease.holding.used_bytes)));
    give(leases, pool.saturating_sub(taken), &next);

    for ((lease, before), next) in leases.iter_mut().zip(before).zip(next) {
        if lease.bytes > before {
            lease.reason = Reason::Grow;
        } else if next > before {
            lease.reason = Reason::NoRoom;
        }
    }
}

/// Shares an amount out among those below these bytes, in proportion to how far.
fn give(leases: &mut [Lease], amount: u64, up_to: &[u64]) {
    let lacking = leases.iter().zip(up_to).map(|(lease, up_to)| up_to.saturating_sub(lease.bytes));
    let takers: Vec<Taker> = lacking.map(|bytes| Taker { cap: bytes, weight: bytes }).collect();
    for (lease, given) in leases.iter_mut().zip(fill(amount, &takers)) {
        lease.bytes += given;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Policy;

    const MIB: u64 = 1 << 20;

    fn holding(entitlement_mib: u64, lease_mib: u64, used_mib: u64) -> Holding {
        Holding {
            entitlement_bytes: entitlement_mib * MIB,
            reservation_bytes: 0,
            limit_bytes: 1000 * MIB,
            lease_bytes: lease_mib * MIB,
            used_bytes: used_mib * MIB,
        }
    }

    fn steps(level: Level, pool_mib: u64, holdings: &[Holding]) -> Vec<(u64, Reason)> {
        let leases = step(&Policy::default().share, level, pool_mib * MIB, holdings);
        leases.into_iter().map(|lease| (lease.bytes / MIB, lease.reason)).collect()
    }

    #[test]
    fn a_lease_grows_at_once_and_shrinks_by_steps() {
        assert_eq!(steps(Level::High, 900, &[holding(500, 100, 0)]), [(500, Reason::Grow)]);
        assert_eq!(steps(Level::High, 900, &[holding(100, 500, 0)]), [(450, Reason::ShrinkStep)]);
    }

    #[test]
    fn a_short_host_takes_back_at_once() {
        assert_eq!(steps(Level::Soft, 900, &[holding(100, 500, 0)]), [(100, Reason::HostShort)]);
        assert_eq!(steps(Level::Clear, 900, &[holding(100, 500, 0)]), [(450, Reason::ShrinkStep)]);
        let reserved = Holding { reservation_bytes: 20 * MIB, ..holding(100, 500, 0) };
        assert_eq!(steps(Level::Low, 900, &[reserved]), [(20, Reason::HostShort)]);
    }

    #[test]
    fn a_full_pool_takes_from_those_above_their_entitlement_and_from_nobody_else() {
        let found = steps(Level::High, 300, &[holding(150, 300, 0), holding(150, 100, 0)]);
        assert_eq!(found, [(200, Reason::PoolFull), (100, Reason::NoRoom)]);
    }

    #[test]
    fn what_is_still_in_use_is_not_given_away() {
        let found = steps(Level::Soft, 300, &[holding(150, 300, 300), holding(150, 100, 100)]);
        assert_eq!(found, [(150, Reason::HostShort), (100, Reason::NoRoom)]);
    }

    #[test]
    fn what_a_store_holds_anyway_is_given_to_it_at_once() {
        assert_eq!(steps(Level::High, 300, &[holding(300, 0, 290)]), [(300, Reason::Grow)]);
        let found = steps(Level::High, 300, &[holding(150, 50, 120), holding(150, 100, 290)]);
        assert_eq!(found, [(120, Reason::Grow), (150, Reason::Grow)], "more is not free");
    }

    #[test]
    fn a_reservation_waits_for_nobody() {
        let reserved = Holding { reservation_bytes: 150 * MIB, ..holding(150, 0, 0) };
        let found = steps(Level::High, 300, &[holding(150, 300, 300), reserved]);
        assert_eq!(found, [(150, Reason::PoolFull), (150, Reason::Reservation)]);
    }

    #[test]
    fn a_limit_that_was_lowered_holds_at_once() {
        let limited = Holding { limit_bytes: 50 * MIB, ..holding(100, 90, 0) };
        assert_eq!(steps(Level::High, 300, &[limited]), [(50, Reason::Limit)]);
    }

    #[test]
    fn changes_too_small_to_matter_are_not_made() {
        assert_eq!(steps(Level::High, 300, &[holding(100, 103, 0)]), [(103, Reason::SmallChange)]);
        assert_eq!(steps(Level::High, 300, &[holding(100, 97, 0)]), [(97, Reason::SmallChange)]);
        assert_eq!(steps(Level::High, 300, &[holding(100, 100, 0)]), [(100, Reason::Entitled)]);
        assert_eq!(steps(Level::High, 300, &[holding(100, 108, 0)]), [(104, Reason::ShrinkStep)], "a step of 1 MiB");
    }
}
