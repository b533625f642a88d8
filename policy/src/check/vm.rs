//! Rules of `[[vm]]`.

use super::Report;
use crate::schema::{ClassName, Match, Policy};
use crate::value::Pattern;

pub(super) fn class_exists(policy: &Policy, _: u64, report: &mut Report<'_>) {
    for (index, rule) in policy.vm.iter().enumerate().filter(|(_, rule)| !policy.class.contains_key(&rule.class)) {
        let names: Vec<&str> = policy.class.keys().map(ClassName::as_str).collect();
        let what = format!("there is no [class.{}]; there is {}", rule.class, names.join(", "));
        report.wrong(&[&format!("vm.{index}.class")], what);
    }
}

pub(super) fn matches_something(policy: &Policy, _: u64, report: &mut Report<'_>) {
    for (index, _) in policy.vm.iter().enumerate().filter(|(_, rule)| rule.matching.is_empty()) {
        let what = "matches no VM; write for example `match = { uid = 1000, name = \"db-*\" }`".to_owned();
        report.wrong(&[&format!("vm.{index}.match"), &format!("vm.{index}")], what);
    }
}

/// A rule behind one that matches everything it matches is never used. A rule that is not believed does not end the
/// search for one that is, so it hides only others of its kind.
pub(super) fn is_reached(policy: &Policy, _: u64, report: &mut Report<'_>) {
    for (index, rule) in policy.vm.iter().enumerate() {
        let hides =
            |earlier: &Match| covers(earlier, &rule.matching) && (earlier.is_vouched() || !rule.matching.is_vouched());
        if rule.matching.is_empty() || !policy.vm[..index].iter().any(|earlier| hides(&earlier.matching)) {
            continue;
        }
        let what = "this rule can never match: an earlier one matches every VM that it does".to_owned();
        report.odd(&[&format!("vm.{index}.match"), &format!("vm.{index}")], what);
    }
}

/// A rule that only the VM's own word supports may lower its share; one whose class lowers nothing does nothing.
pub(super) fn has_an_effect(policy: &Policy, _: u64, report: &mut Report<'_>) {
    for (index, rule) in policy.vm.iter().enumerate() {
        if rule.matching.is_empty() || rule.matching.is_vouched() {
            continue;
        }
        let lowers = |base| policy.class(&rule.class).lowers(base);
        let others = policy.vm.iter().filter(|other| other.matching.is_vouched());
        if lowers(policy.default_class()) || others.map(|other| policy.class(&other.class)).any(lowers) {
            continue;
        }
        let what = format!(
            "a name or label is only what the VM's own process says, so this rule can lower a share and not raise it, \
             and class {} lowers nothing; add `uid` or `cgroup`, which the kernel vouches for",
            rule.class
        );
        report.odd(&[&format!("vm.{index}.match")], what);
    }
}

/// Whether one matches every VM that the other matches, as far as can be told.
fn covers(one: &Match, other: &Match) -> bool {
    let patterns = |one: &Option<Pattern>, other: &Option<Pattern>| match (one, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one.covers(other),
    };
    !one.is_empty()
        && (one.uid.is_none() || one.uid == other.uid)
        && patterns(&one.cgroup, &other.cgroup)
        && patterns(&one.name, &other.name)
        && patterns(&one.label, &other.label)
}
