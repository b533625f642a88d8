//! Rules of `[pool]`.

use super::{Report, in_words};
use crate::schema::Policy;
use crate::value::{ByteSize, Percent, PercentOrOff};

/// The least is not above the most.
pub(super) fn bounds(policy: &Policy, memory_bytes: u64, report: &mut Report<'_>) {
    let (min, max) = (policy.pool.size_min, policy.pool.size_max);
    let (Some(min_bytes), Some(max_bytes)) = (min.bytes(memory_bytes), max.bytes(memory_bytes)) else {
        report.wrong(&["pool.size_max", "pool.size_min"], "this percentage is more than any machine has".into());
        return;
    };
    if min_bytes > max_bytes {
        let what = format!(
            "`pool.size_min` of {} is above `pool.size_max` of {}",
            in_words(min, memory_bytes),
            in_words(max, memory_bytes)
        );
        report.wrong(&["pool.size_min", "pool.size_max"], what);
    }
}

/// The largest pool and the host's reserve fit into the host together.
pub(super) fn room_beside_the_reserve(policy: &Policy, memory_bytes: u64, report: &mut Report<'_>) {
    let (max, reserve) = (policy.pool.size_max, policy.host.reserve);
    let sum = max.bytes(memory_bytes).zip(reserve.bytes(memory_bytes));
    if sum.and_then(|(max, reserve)| max.checked_add(reserve)).is_none_or(|sum| sum > memory_bytes) {
        let what = format!(
            "`pool.size_max` of {} and `host.reserve` of {} are more than the host's memory of {}",
            in_words(max, memory_bytes),
            in_words(reserve, memory_bytes),
            ByteSize(memory_bytes)
        );
        report.wrong(&["pool.size_max", "host.reserve"], what);
    }
}

/// Of nothing a store would never take pages again, and with all of what it held it never waits.
pub(super) fn accept_threshold(policy: &Policy, _: u64, report: &mut Report<'_>) {
    if let PercentOrOff::Percent(part) = policy.pool.accept_threshold
        && !(Percent::whole(1)..=Percent::whole(99)).contains(&part)
    {
        let what = format!("{part} is out of range; allowed are 1% to 99% of a full store, or \"off\"");
        report.wrong(&["pool.accept_threshold"], what);
    }
}
