//! Rules of `[host]`.

use super::{Report, in_words};
use crate::schema::Policy;
use crate::value::{ByteSize, Percent, SizeOrPercent};

/// The marks and their names, the highest first.
fn marks(policy: &Policy) -> [(&'static str, SizeOrPercent); 4] {
    let marks = &policy.host.watermarks;
    [
        ("host.watermarks.clear", marks.clear),
        ("host.watermarks.soft", marks.soft),
        ("host.watermarks.hard", marks.hard),
        ("host.watermarks.low", marks.low),
    ]
}

/// Each mark is below the one before by the hysteresis at least, or a state could be entered and left at once.
pub(super) fn watermarks_descend(policy: &Policy, memory_bytes: u64, report: &mut Report<'_>) {
    let hysteresis = policy.host.watermarks.hysteresis;
    let bytes = |size: SizeOrPercent| size.bytes(memory_bytes).unwrap_or(u64::MAX);
    for pair in marks(policy).windows(2) {
        let [(upper_key, upper), (lower_key, lower)] = pair else { continue };
        let lowest_upper = bytes(*lower).saturating_add(bytes(hysteresis));
        if bytes(*upper) <= bytes(*lower) || bytes(*upper) < lowest_upper {
            let what = format!(
                "{} must be below `{upper_key}` of {} by the hysteresis of {} at least",
                in_words(*lower, memory_bytes),
                in_words(*upper, memory_bytes),
                in_words(hysteresis, memory_bytes),
            );
            report.wrong(&[lower_key, upper_key, "host.watermarks.hysteresis"], what);
        }
    }
}

/// There is an amount of free memory at which state clear is left.
pub(super) fn state_high_can_be_reached(policy: &Policy, memory_bytes: u64, report: &mut Report<'_>) {
    let marks = &policy.host.watermarks;
    let sum = marks.clear.bytes(memory_bytes).zip(marks.hysteresis.bytes(memory_bytes));
    if sum.and_then(|(clear, hysteresis)| clear.checked_add(hysteresis)).is_none_or(|leave| leave >= memory_bytes) {
        let what = format!(
            "{} and the hysteresis of {} are not below the host's memory of {}: the host would never have enough",
            in_words(marks.clear, memory_bytes),
            in_words(marks.hysteresis, memory_bytes),
            ByteSize(memory_bytes),
        );
        report.wrong(&["host.watermarks.clear", "host.watermarks.hysteresis"], what);
    }
}

/// The reserve leaves something.
pub(super) fn reserve(policy: &Policy, memory_bytes: u64, report: &mut Report<'_>) {
    if policy.host.reserve.bytes(memory_bytes).is_none_or(|reserve| reserve >= memory_bytes) {
        let what = format!(
            "{} leaves nothing of the host's memory of {}",
            in_words(policy.host.reserve, memory_bytes),
            ByteSize(memory_bytes)
        );
        report.wrong(&["host.reserve"], what);
    }
}

/// Some VM can start; and more memory than there is needs somebody to know it.
pub(super) fn overcommit(policy: &Policy, _: u64, report: &mut Report<'_>) {
    let limit = policy.host.overcommit_limit;
    if limit == Percent::default() {
        report.wrong(&["host.overcommit_limit"], "0% lets no VM start; write \"100%\" for no overcommit".into());
    }
    if limit > Percent::ALL {
        let what = "above 100%, and nothing backs what is above it in this version: when guests use all of their \
                    memory at once, the host runs out";
        report.odd(&["host.overcommit_limit"], what.into());
    }
}

/// A mark of pressure asks for something.
pub(super) fn pressure_marks(policy: &Policy, _: u64, report: &mut Report<'_>) {
    for (key, mark) in [("soft", &policy.host.psi.soft), ("hard", &policy.host.psi.hard)] {
        for (avg, written) in [("some_avg10", mark.some_avg10), ("full_avg10", mark.full_avg10)] {
            if written.is_some_and(|pressure| pressure.basis_points() == 0) {
                let what = "0 is always reached; write a number above 0, or 100 to switch this mark off in practice";
                report.wrong(&[&format!("host.psi.{key}.{avg}")], what.into());
            }
        }
    }
}
