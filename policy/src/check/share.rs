//! Rules of `[share]`, `[compression]` and the keys outside any table.

use super::Report;
use crate::schema::{Policy, SCHEMA_VERSION};
use crate::value::{Percent, PercentOrOff, Period};

const INTERVAL_MIN: Period = Period::from_ms(100);
const INTERVAL_MAX: Period = Period::from_ms(60_000);
/// At 100% an idle page would cost infinitely more than an active one.
const IDLE_TAX_MAX: Percent = Percent::whole(99);

pub(super) fn version(policy: &Policy, _: u64, report: &mut Report<'_>) {
    if policy.version != SCHEMA_VERSION {
        let what = format!("{} is not read by this build, only version {SCHEMA_VERSION}", policy.version);
        report.wrong(&["version"], what);
    }
}

pub(super) fn interval(policy: &Policy, _: u64, report: &mut Report<'_>) {
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&policy.interval) {
        let what = format!("{} is out of range; allowed are {INTERVAL_MIN} to {INTERVAL_MAX}", policy.interval);
        report.wrong(&["interval"], what);
    }
}

/// Statistics that are stale before the next are taken would never be used.
pub(super) fn statistics_outlive_the_interval(policy: &Policy, _: u64, report: &mut Report<'_>) {
    if policy.stats_stale_after < policy.interval {
        let what = format!(
            "`stats_stale_after` of {} is shorter than the `interval` of {}: no statistics would ever be used",
            policy.stats_stale_after, policy.interval
        );
        report.wrong(&["stats_stale_after", "interval"], what);
    }
}

pub(super) fn idle_tax(policy: &Policy, _: u64, report: &mut Report<'_>) {
    if policy.share.idle_tax > IDLE_TAX_MAX {
        let what = format!("{} is out of range; allowed are 0% to {IDLE_TAX_MAX}", policy.share.idle_tax);
        report.wrong(&["share.idle_tax"], what);
    }
}

/// A step of nothing never arrives, and one of more than all overshoots.
pub(super) fn steps(policy: &Policy, _: u64, report: &mut Report<'_>) {
    let steps = [("share.grow_step", policy.share.grow_step), ("share.shrink_step", policy.share.shrink_step)];
    for (key, step) in steps {
        if step == Percent::default() || step > Percent::ALL {
            report.wrong(&[key], format!("{step} is out of range; allowed are 0.01% to 100%"));
        }
    }
}

pub(super) fn idle_after(policy: &Policy, _: u64, report: &mut Report<'_>) {
    if policy.share.idle_after < policy.interval {
        let what = format!(
            "`share.idle_after` of {} is shorter than the `interval` of {}: every page would be idle",
            policy.share.idle_after, policy.interval
        );
        report.wrong(&["share.idle_after", "interval"], what);
    }
}

/// No page takes more than a page; where none is accepted there is no store.
pub(super) fn reject_above(policy: &Policy, _: u64, report: &mut Report<'_>) {
    if let PercentOrOff::Percent(size) = policy.compression.reject_above
        && !(Percent::whole(1)..=Percent::ALL).contains(&size)
    {
        let what = format!("{size} is out of range; allowed are 1% to 100% of a page, or \"off\"");
        report.wrong(&["compression.reject_above"], what);
    }
}
