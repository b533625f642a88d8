//! What a VM has a right to: its class, and what the class says for a VM of its size.

use serde::Serialize;

use super::observation::Identity;
use crate::schema::{Class, ClassName, Match, Policy};
use crate::value::{Pattern, Percent, SizeOrPercent};

/// The class of a VM, and why. Rules are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The class.
    pub class: ClassName,
    /// The rule that says so; `None`: no rule does, it is `default`.
    pub rule: Option<usize>,
    /// A rule on the VM's own word, and its class: of each value the lower holds.
    pub lowered_by: Option<(usize, ClassName)>,
}

/// What a VM has a right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// Its weight.
    pub weight: u32,
    /// What the host must have for the guest's memory; at most all of it.
    pub memory_reservation_bytes: u64,
    /// What is never taken from its store; at most the limit.
    pub tmem_reservation_bytes: u64,
    /// What its store never exceeds.
    pub tmem_limit_bytes: u64,
    /// How much of what its store may hold may be ephemeral pages; at most all of it.
    pub tmem_ephemeral: Percent,
}

/// The class of a VM: of the first rule that matches. Where that rule has only the VM's own word, the class is that of the
/// first rule the kernel vouches for, and the first only lowers it.
#[must_use]
pub fn standing(policy: &Policy, identity: &Identity) -> Standing {
    let mut matching = policy.vm.iter().enumerate().filter(|(_, rule)| matches(&rule.matching, identity));
    let first = matching.next();
    let (vouched, lowered_by) = match first {
        Some((index, rule)) if !rule.matching.is_vouched() => {
            (matching.find(|(_, rule)| rule.matching.is_vouched()), Some((index, rule.class.clone())))
        }
        first => (first, None),
    };
    let (rule, class) = vouched.map_or((None, ClassName::default()), |(index, rule)| (Some(index), rule.class.clone()));
    Standing { class, rule, lowered_by }
}

fn matches(matching: &Match, identity: &Identity) -> bool {
    let is = |pattern: &Option<Pattern>, text: Option<&str>| {
        pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.matches(text)))
    };
    !matching.is_empty()
        && matching.uid.is_none_or(|uid| uid == identity.uid)
        && is(&matching.cgroup, identity.cgroup.as_deref())
        && is(&matching.name, Some(&identity.name))
        && is(&matching.label, identity.label.as_deref())
}

/// What a VM of this class and this much memory has a right to of a pool of this size. `own_limit_bytes` is the limit that
/// the VM itself has.
#[must_use]
pub fn terms(
    policy: &Policy,
    standing: &Standing,
    memory_bytes: u64,
    pool_bytes: u64,
    own_limit_bytes: Option<u64>,
) -> Terms {
    let of_class = |class: &Class| {
        let of = |size: SizeOrPercent, whole| size.bytes(whole).unwrap_or(u64::MAX);
        Terms {
            weight: class.weight,
            memory_reservation_bytes: of(class.memory.reservation, memory_bytes).min(memory_bytes),
            tmem_reservation_bytes: of(class.tmem.reservation, memory_bytes),
            tmem_limit_bytes: of(class.tmem.limit, pool_bytes),
            tmem_ephemeral: class.tmem.ephemeral.min(Percent::ALL),
        }
    };
    let mut terms = of_class(policy.class(&standing.class));
    if let Some((_, class)) = &standing.lowered_by {
        let lower = of_class(policy.class(class));
        terms.weight = terms.weight.min(lower.weight);
        terms.memory_reservation_bytes = terms.memory_reservation_bytes.min(lower.memory_reservation_bytes);
        terms.tmem_reservation_bytes = terms.tmem_reservation_bytes.min(lower.tmem_reservation_bytes);
        terms.tmem_limit_bytes = terms.tmem_limit_bytes.min(lower.tmem_limit_bytes);
        terms.tmem_ephemeral = terms.tmem_ephemeral.min(lower.tmem_ephemeral);
    }
    terms.tmem_limit_bytes = terms.tmem_limit_bytes.min(own_limit_bytes.unwrap_or(u64::MAX));
    terms.tmem_reservation_bytes = terms.tmem_reservation_bytes.min(terms.tmem_limit_bytes);
    terms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Source, read};

    const MIB: u64 = 1 << 20;

    fn policy(rules: &str) -> Policy {
        let classes = "[class.gold]\nweight = 400\ntmem.reservation = \"1GiB\"\n[class.lead]\nweight = 10\n\
                       tmem.limit = \"64MiB\"\nmemory.reservation = \"0%\"\n";
        let text = format!("{classes}{rules}");
        read(vec![Source { path: "p.toml".into(), text }], 64 << 30).policy.unwrap()
    }

    fn rule(matching: &str, class: &str) -> String {
        format!("[[vm]]\nmatch = {{ {matching} }}\nclass = \"{class}\"\n")
    }

    fn vm(uid: u32, name: &str) -> Identity {
        Identity { name: name.into(), uid, ..Identity::default() }
    }

    fn found(policy: &Policy, identity: &Identity) -> (String, Option<usize>, Option<usize>) {
        let found = standing(policy, identity);
        (found.class.to_string(), found.rule, found.lowered_by.map(|(index, _)| index))
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let policy = policy(&(rule("uid = 1, name = \"db-*\"", "gold") + &rule("uid = 1", "lead")));
        assert_eq!(found(&policy, &vm(1, "db-1")), ("gold".into(), Some(0), None));
        assert_eq!(found(&policy, &vm(1, "web")), ("lead".into(), Some(1), None));
        assert_eq!(
            found(&policy, &vm(2, "db-1")),
            ("default".into(), None, None),
            "the uid is not what the name claims"
        );
    }

    #[test]
    fn labels_and_cgroups_that_are_not_known_match_nothing() {
        let policy = policy(&(rule("cgroup = \"*\"", "gold") + &rule("uid = 0, label = \"*\"", "gold")));
        assert_eq!(found(&policy, &vm(0, "a")).0, "default");
        let known = Identity { cgroup: Some("/m/a".into()), label: Some("x".into()), ..vm(0, "a") };
        assert_eq!(found(&policy, &known).1, Some(0));
    }

    #[test]
    fn a_vms_own_word_lowers_its_share_and_never_raises_it() {
        let by_name = rule("name = \"db-*\"", "gold") + &rule("name = \"ci-*\"", "lead") + &rule("uid = 7", "gold");
        let policy = policy(&by_name);
        let of = |identity| terms(&policy, &standing(&policy, &identity), 1024 * MIB, 4096 * MIB, None);
        let default = of(vm(1, "web"));
        assert_eq!(of(vm(1, "db-1")), default, "gold by name alone");
        let lowered = of(vm(7, "ci-1"));
        assert_eq!((lowered.weight, lowered.tmem_limit_bytes, lowered.memory_reservation_bytes), (10, 64 * MIB, 0));
        let gold = of(vm(7, "web"));
        assert_eq!((gold.weight, gold.tmem_reservation_bytes), (400, 1024 * MIB));
    }

    #[test]
    fn terms_are_of_the_vms_memory_and_the_pool_and_below_the_vms_own_limit() {
        let default = Policy::default();
        let nobody = standing(&default, &Identity::default());
        let found = terms(&default, &nobody, 1024 * MIB, 4096 * MIB, None);
        assert_eq!((found.memory_reservation_bytes, found.tmem_limit_bytes), (256 * MIB, 2048 * MIB));
        assert_eq!(terms(&default, &nobody, 1024 * MIB, 4096 * MIB, Some(MIB)).tmem_limit_bytes, MIB);
        let gold = policy(&rule("uid = 0", "gold"));
        let found = terms(&gold, &standing(&gold, &vm(0, "a")), 1024 * MIB, 512 * MIB, None);
        assert_eq!((found.tmem_reservation_bytes, found.tmem_limit_bytes), (256 * MIB, 256 * MIB));
    }
}
