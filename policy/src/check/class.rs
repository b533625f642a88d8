//! Rules of `[class.NAME]`.

use super::{Report, in_words};
use crate::schema::{Class, ClassName, Policy};
use crate::value::{ByteSize, Percent, SizeOrPercent};

const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=10_000;

fn keys(name: &ClassName, key: &str) -> String {
    format!("class.{name}.{key}")
}

/// All classes, `default` first: what the others have from it is its mistake.
fn classes(policy: &Policy) -> impl Iterator<Item = (&ClassName, &Class)> {
    let (default, others): (Vec<_>, Vec<_>) = policy.class.iter().partition(|(name, _)| name.as_str() == "default");
    default.into_iter().chain(others)
}

pub(super) fn weight(policy: &Policy, _: u64, report: &mut Report<'_>) {
    for (name, class) in classes(policy).filter(|(_, class)| !WEIGHTS.contains(&class.weight)) {
        let what = format!("{} is out of range; allowed are 1 to 10000", class.weight);
        report.wrong(&[&keys(name, "weight")], what);
    }
}

/// A guest's memory is never reserved twice.
pub(super) fn memory_reservation(policy: &Policy, _: u64, report: &mut Report<'_>) {
    for (name, class) in classes(policy) {
        if let SizeOrPercent::Percent(percent) = class.memory.reservation
            && percent > Percent::ALL
        {
            let what = format!("{percent} of the VM's memory cannot be reserved; allowed are 0% to 100%");
            report.wrong(&[&keys(name, "memory.reservation")], what);
        }
    }
}

/// A store is not more than all of it.
pub(super) fn tmem_ephemeral(policy: &Policy, _: u64, report: &mut Report<'_>) {
    for (name, class) in classes(policy).filter(|(_, class)| class.tmem.ephemeral > Percent::ALL) {
        let what = format!("{} of the VM's store is out of range; allowed are 0% to 100%", class.tmem.ephemeral);
        report.wrong(&[&keys(name, "tmem.ephemeral")], what);
    }
}

/// A reservation is not above the limit. A percentage of the VM's memory is not known yet, so only a size is compared;
/// the limit is then that of the largest pool.
pub(super) fn tmem_reservation(policy: &Policy, memory_bytes: u64, report: &mut Report<'_>) {
    let pool_bytes = policy.pool.size_max.bytes(memory_bytes).unwrap_or(u64::MAX);
    for (name, class) in classes(policy) {
        let SizeOrPercent::Bytes(reservation) = class.tmem.reservation else { continue };
        if class.tmem.limit.bytes(pool_bytes).is_some_and(|limit| reservation > limit) {
            let what = format!(
                "a reservation of {} is above the limit of {} of the largest pool",
                ByteSize(reservation),
                in_words(class.tmem.limit, pool_bytes)
            );
            report.wrong(&[&keys(name, "tmem.reservation"), &keys(name, "tmem.limit"), "pool.size_max"], what);
        }
    }
}

/// What one VM of the class is promised is there beside the host's reserve. What all of them are promised together is
/// known when they start.
pub(super) fn reservation_fits_the_host(policy: &Policy, memory_bytes: u64, report: &mut Report<'_>) {
    let reserve = policy.host.reserve.bytes(memory_bytes).unwrap_or(u64::MAX);
    for (name, class) in classes(policy) {
        let bytes = |size: SizeOrPercent| match size {
            SizeOrPercent::Bytes(bytes) => bytes,
            SizeOrPercent::Percent(_) => 0,
        };
        let promised = bytes(class.memory.reservation).saturating_add(bytes(class.tmem.reservation));
        if promised > 0 && promised.saturating_add(reserve) > memory_bytes {
            let what = format!(
                "reservations of {} and the `host.reserve` of {} are more than the host's memory of {}",
                ByteSize(promised),
                in_words(policy.host.reserve, memory_bytes),
                ByteSize(memory_bytes)
            );
            let keys = [keys(name, "memory.reservation"), keys(name, "tmem.reservation")];
            report.wrong(&[&keys[0], &keys[1], "host.reserve"], what);
        }
    }
}
