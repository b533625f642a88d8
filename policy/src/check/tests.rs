//! Each rule: what breaks it, where that is told, and what just keeps it.

use crate::text::{Reading, Source, read};

const HOST_BYTES: u64 = 64 << 30;

fn reading(text: &str) -> Reading {
    read(vec![Source { path: "p.toml".into(), text: text.to_owned() }], HOST_BYTES)
}

/// The one mistake in a text.
#[track_caller]
fn mistake(text: &str) -> String {
    let mistakes = reading(text).policy.unwrap_err();
    let [mistake] = mistakes.as_slice() else { panic!("{text} gave {mistakes:?}") };
    mistake.to_string()
}

#[track_caller]
fn is_valid(text: &str) -> Vec<String> {
    let reading = reading(text);
    if let Err(mistakes) = reading.policy {
        panic!("{text} gave {mistakes:?}");
    }
    reading.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_version_is_one_that_this_build_reads() {
    is_valid("version = 1");
    assert_eq!(mistake("version = 2"), "p.toml:1:11: `version`: 2 is not read by this build, only version 1");
}

#[test]
fn the_interval_is_one_that_decides_and_does_not_spin() {
    is_valid("interval = \"100ms\"");
    assert_eq!(mistake("interval = \"0s\""), "p.toml:1:12: `interval`: 0s is out of range; allowed are 100ms to 60s");
    assert!(mistake("interval = \"61s\"\nstats_stale_after = \"99s\"").contains("61s is out of range"));
}

#[test]
fn statistics_are_good_for_an_interval_at_least() {
    is_valid("interval = \"5s\"\nstats_stale_after = \"5s\"");
    let message = mistake("interval = \"20s\"");
    assert!(message.starts_with("p.toml:1:12: `interval`: `stats_stale_after` of 15s is shorter"), "{message}");
}

#[test]
fn the_idle_tax_leaves_an_idle_page_some_worth() {
    is_valid("share.idle_tax = \"99%\"");
    is_valid("share.idle_tax = \"0%\"");
    assert!(
        mistake("share.idle_tax = \"99.01%\"")
            .contains("`share.idle_tax`: 99.01% is out of range; allowed are 0% to 99%")
    );
}

#[test]
fn a_step_arrives_and_does_not_overshoot() {
    is_valid("share.grow_step = \"0.01%\"\nshare.shrink_step = \"100%\"");
    assert!(
        mistake("share.grow_step = \"0%\"")
            .contains("`share.grow_step`: 0% is out of range; allowed are 0.01% to 100%")
    );
    assert!(mistake("share.shrink_step = \"100.01%\"").contains("`share.shrink_step`: 100.01% is out of range"));
}

#[test]
fn a_page_is_not_idle_before_it_could_be_seen_in_use() {
    is_valid("share.idle_after = \"1s\"");
    assert!(
        mistake("share.idle_after = \"999ms\"")
            .contains("`share.idle_after` of 999ms is shorter than the `interval` of 1s")
    );
}

#[test]
fn pages_are_rejected_for_a_size_that_a_page_can_have() {
    is_valid("compression.reject_above = \"off\"");
    is_valid("compression.reject_above = \"100%\"");
    assert!(
        mistake("compression.reject_above = \"0%\"")
            .contains("0% is out of range; allowed are 1% to 100% of a page, or \"off\"")
    );
    assert!(mistake("compression.reject_above = \"101%\"").contains("101% is out of range"));
}

#[test]
fn watermarks_descend_by_the_hysteresis_at_least() {
    is_valid("host.watermarks = { clear = \"20%\", soft = \"12%\", hard = \"10%\", low = \"1GiB\" }");
    assert_eq!(
        mistake("[host.watermarks]\nhard = \"15%\""),
        "p.toml:2:8: `host.watermarks.hard`: 15% (9830MiB) must be below `host.watermarks.soft` of 12% (7864MiB) by the \
         hysteresis of 2% (1310MiB) at least"
    );
    assert!(mistake("host.watermarks.soft = \"19%\"").contains("`host.watermarks.soft`: 19% (12451MiB) must be below"));
    assert!(mistake("host.watermarks.low = \"4GiB\"").contains("4GiB must be below `host.watermarks.hard` of 6%"));
    let message = mistake("host.watermarks.hysteresis = \"4%\"");
    assert!(message.starts_with("p.toml:1:30: `host.watermarks.hysteresis`: 3% (1966MiB) must be below"), "{message}");
}

#[test]
fn equal_watermarks_are_refused_without_hysteresis_too() {
    let message = mistake("host.watermarks = { hard = \"3%\", hysteresis = \"0%\" }");
    assert!(message.contains("3% (1966MiB) must be below `host.watermarks.hard` of 3%"), "{message}");
}

#[test]
fn the_host_can_have_enough_memory() {
    is_valid("host.watermarks.clear = \"97.99%\"");
    let message = mistake("host.watermarks.clear = \"99%\"");
    assert!(message.contains("99% (64880MiB) and the hysteresis of 2% (1310MiB) are not below"), "{message}");
    assert!(mistake("host.watermarks.clear = \"64GiB\"").contains("the host's memory of 64GiB"));
}

#[test]
fn the_reserve_leaves_something() {
    is_valid("host.reserve = \"0%\"\npool.size_max = \"100%\"");
    let mistakes = reading("host.reserve = \"64GiB\"").policy.unwrap_err();
    assert!(mistakes[0].to_string().contains("64GiB leaves nothing of the host's memory of 64GiB"), "{mistakes:?}");
}

#[test]
fn overcommit_lets_a_vm_start_and_is_not_without_warning() {
    assert!(is_valid("host.overcommit_limit = \"100%\"").is_empty());
    assert!(mistake("host.overcommit_limit = \"0%\"").contains("0% lets no VM start"));
    let warnings = is_valid("host.overcommit_limit = \"150%\"");
    assert!(warnings[0].contains("`host.overcommit_limit`: above 100%, and nothing backs"), "{warnings:?}");
}

#[test]
fn pressure_of_nothing_is_no_mark() {
    is_valid("host.psi.soft.some_avg10 = 0.01");
    let message = mistake("host.psi.hard.some_avg10 = 0");
    assert!(message.starts_with("p.toml:1:28: `host.psi.hard.some_avg10`: 0 is always reached"), "{message}");
}

#[test]
fn the_smallest_pool_is_not_above_the_largest() {
    is_valid("pool = { size_min = \"1GiB\", size_max = \"1GiB\" }");
    let message = mistake("pool.size_max = \"256MiB\"");
    assert!(
        message.contains("`pool.size_max`: `pool.size_min` of 512MiB is above `pool.size_max` of 256MiB"),
        "{message}"
    );
    assert!(mistake("pool.size_min = \"41%\"").contains("41% (26869MiB) is above `pool.size_max` of 40% (26214MiB)"));
}

#[test]
fn the_pool_and_the_reserve_fit_into_the_host() {
    is_valid("pool.size_max = \"92%\"");
    let message = mistake("pool.size_max = \"93%\"");
    assert!(message.contains("93% (60948MiB) and `host.reserve` of 8% (5242MiB) are more than"), "{message}");
}

#[test]
fn a_full_store_waits_for_some_of_it_to_go_and_not_for_all() {
    is_valid("pool.accept_threshold = \"off\"");
    is_valid("pool.accept_threshold = \"1%\"");
    is_valid("pool.accept_threshold = \"99%\"");
    let message = mistake("[pool]\naccept_threshold = \"100%\"");
    assert_eq!(
        message,
        "p.toml:2:20: `pool.accept_threshold`: 100% is out of range; allowed are 1% to 99% of a full store, or \"off\""
    );
    assert!(mistake("pool.accept_threshold = \"0%\"").contains("0% is out of range"));
}

#[test]
fn weights_have_a_range() {
    is_valid("class.gold.weight = 10000\nclass.lead.weight = 1");
    assert!(
        mistake("class.gold.weight = 0").contains("`class.gold.weight`: 0 is out of range; allowed are 1 to 10000")
    );
    assert!(mistake("class.gold.weight = 10001").contains("10001 is out of range"));
}

#[test]
fn a_mistake_of_class_default_is_told_once_and_not_for_each_class() {
    assert!(
        mistake("[class.default]\nweight = 0\n[class.alpha]\n[class.gold]")
            .starts_with("p.toml:2:10: `class.default.weight`")
    );
}

#[test]
fn no_memory_is_reserved_twice() {
    is_valid("class.gold.memory.reservation = \"100%\"");
    assert!(mistake("class.gold.memory.reservation = \"101%\"").contains("101% of the VM's memory cannot be reserved"));
}

#[test]
fn ephemeral_pages_take_no_more_than_all_of_a_store() {
    is_valid("class.gold.tmem.ephemeral = \"0%\"");
    assert!(mistake("class.gold.tmem.ephemeral = \"101%\"").contains("101% of the VM's store is out of range"));
}

#[test]
fn a_reservation_is_not_above_the_limit() {
    is_valid("class.gold.tmem = { reservation = \"1GiB\", limit = \"1GiB\" }");
    assert_eq!(
        mistake("[class.gold]\ntmem = { reservation = \"2GiB\", limit = \"1GiB\" }"),
        "p.toml:2:24: `class.gold.tmem.reservation`: a reservation of 2GiB is above the limit of 1GiB of the largest pool"
    );
    assert!(mistake("class.gold.tmem.reservation = \"14GiB\"").contains("above the limit of 50% (13107MiB)"));
    assert!(mistake("class.gold.tmem = { limit = \"0%\", reservation = \"1KiB\" }").contains("above the limit of 0%"));
}

#[test]
fn what_one_vm_is_promised_fits_into_the_host() {
    is_valid("class.gold.memory.reservation = \"58GiB\"");
    let message = mistake("class.gold.memory.reservation = \"59GiB\"");
    assert!(
        message.contains("reservations of 59GiB and the `host.reserve` of 8% (5242MiB) are more than"),
        "{message}"
    );
}

#[test]
fn a_rule_names_a_class_that_there_is() {
    is_valid("[class.gold]\n[[vm]]\nmatch.uid = 0\nclass = \"gold\"");
    let message = mistake("[class.gold]\n[[vm]]\nmatch.uid = 0\nclass = \"golden\"");
    assert_eq!(message, "p.toml:4:9: `vm.class`: there is no [class.golden]; there is default, gold");
}

#[test]
fn a_rule_asks_for_something() {
    let wanted = "matches no VM; write for example `match = { uid = 1000, name = \"db-*\" }`";
    assert_eq!(mistake("[[vm]]\nclass = \"default\""), format!("p.toml:1:1: `vm`: {wanted}"));
    assert_eq!(mistake("[[vm]]\nmatch = {}\nclass = \"default\""), format!("p.toml:2:9: `vm.match`: {wanted}"));
}

fn rules(matches: &[&str]) -> String {
    matches.iter().map(|matching| format!("[[vm]]\nmatch = {matching}\nclass = \"lead\"\n")).collect::<String>()
        + "[class.lead]\nweight = 1"
}

#[test]
fn a_rule_that_can_never_match_is_a_warning() {
    let hidden = [
        ["{ uid = 0 }", "{ uid = 0 }"],
        ["{ uid = 0 }", "{ uid = 0, name = \"db\" }"],
        ["{ uid = 0, name = \"db-*\" }", "{ uid = 0, name = \"db-1?\" }"],
        ["{ cgroup = \"/m/*\" }", "{ cgroup = \"/m/a\", label = \"x\" }"],
        ["{ name = \"*\" }", "{ name = \"a\" }"],
        ["{ uid = 0 }", "{ uid = 0, label = \"*\" }"],
    ];
    for matches in hidden {
        let warnings = is_valid(&rules(&matches));
        assert_eq!(warnings.len(), 1, "{matches:?} gave {warnings:?}");
        assert!(warnings[0].starts_with("p.toml:5:9: `vm.match`: this rule can never match"), "{warnings:?}");
    }
    let reached = [
        ["{ uid = 0 }", "{ uid = 1 }"],
        ["{ uid = 0, name = \"a\" }", "{ uid = 0 }"],
        ["{ uid = 0, name = \"a*\" }", "{ uid = 0, name = \"b*\" }"],
        ["{ uid = 0, name = \"db-?\" }", "{ uid = 0, name = \"db-*\" }"],
        ["{ name = \"*\" }", "{ uid = 0, name = \"a\" }"],
    ];
    for matches in reached {
        let warnings = is_valid(&rules(&matches));
        assert!(warnings.is_empty(), "{matches:?} gave {warnings:?}");
    }
}

#[test]
fn a_rule_on_the_vms_own_word_that_would_raise_is_a_warning() {
    let by_name = "[class.gold]\nweight = 400\n[[vm]]\nmatch.name = \"db-*\"\nclass = \"gold\"";
    let warnings = is_valid(by_name);
    assert!(warnings[0].contains("`vm.match`: a name or label is only what the VM's own process says"), "{warnings:?}");
    assert!(is_valid(&by_name.replace("match.name = \"db-*\"", "match = { name = \"db-*\", uid = 107 }")).is_empty());
    assert!(is_valid(&by_name.replace("400", "40")).is_empty(), "it lowers");
}
