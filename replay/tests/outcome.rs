//! What comes of recorded VMs under each algorithm, on real stores.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test cannot set up fails it")]

mod recorded;

use std::fs;

use policy::schema::Algorithm::{self, Demand, Greedy, Static, Weighted};
use protocol::VmName;
use replay::{DecisionLog, Host, Plan, VmOutcome};
use tmem::PoolKind::{Ephemeral, Persistent};

use recorded::{Folder, MIB, POLICY, Service, TOTAL_BYTES, policy, respace};

const ALL: [Algorithm; 4] = [Greedy, Static, Weighted, Demand];
/// Pages of a guest: some 4 MiB, which is all of the pool.
const PAGES: u32 = 2000;
/// Between two operations: a guest takes 8 s.
const STEP_US: u64 = 2000;

fn play(plan: &Plan, algorithm: Algorithm) -> Vec<VmOutcome> {
    let mut played = 0;
    let outcome = plan.play(algorithm, &mut |operations| played += operations).unwrap();
    assert_eq!(played, plan.operations());
    outcome
}

fn result(results: impl IntoIterator<Item = (&'static str, u64)>, name: &str) -> u64 {
    results.into_iter().find(|(found, _)| *found == name).unwrap().1
}

fn stored(outcome: &VmOutcome) -> u64 {
    result(outcome.answers.put_results(), "stored")
}

fn over_limit(outcome: &VmOutcome) -> u64 {
    result(outcome.answers.put_results(), "over_limit")
}

fn hits(outcome: &VmOutcome) -> u64 {
    result(outcome.answers.get_results(), "hit")
}

#[test]
fn with_room_for_all_the_answers_are_those_of_the_recording() {
    let folder = Folder::new();
    let traces = vec![folder.record("web", Persistent, PAGES, STEP_US), folder.record("db", Ephemeral, PAGES, STEP_US)];
    let plan = Plan::new(policy(POLICY), Host::Constant { pool_bytes: 64 * MIB }, traces).unwrap();
    let names: Vec<&str> = plan.recordings().iter().map(|recording| recording.vm().as_str()).collect();
    assert_eq!(names, ["db", "web"], "in the order of their names");
    for algorithm in ALL {
        for (recording, outcome) in plan.recordings().iter().zip(play(&plan, algorithm)) {
            assert_eq!(&outcome.answers, recording.answers());
            assert_eq!((stored(&outcome), hits(&outcome), outcome.pages_evicted), (2000, 2000, 0));
            // One at the beginning, and one each second of the recording.
            assert_eq!(outcome.intervals, recording.length_us() / 1_000_000 + 1);
        }
    }
}

#[test]
fn the_same_inputs_give_the_same_outcome() {
    let folder = Folder::new();
    let traces = vec![folder.record("a", Persistent, PAGES, STEP_US), folder.record("b", Ephemeral, PAGES, STEP_US)];
    let plan = |traces| Plan::new(policy(POLICY), Host::Constant { pool_bytes: 3 * MIB }, traces).unwrap();
    let (first, second) = (plan(traces.clone()), plan(traces.into_iter().rev().collect()));
    for algorithm in ALL {
        let outcome = play(&first, algorithm);
        assert_eq!(play(&first, algorithm), outcome);
        assert_eq!(play(&second, algorithm), outcome, "in whatever order they are named");
        assert!(outcome.iter().any(|outcome| over_limit(outcome) > 0), "the pool is too small: {outcome:?}");
    }
}

/// Two guests with clean pages of files. `second` is of user 7 and comes after 20 s, when `first` has filled the pool; that
/// asks for its pages when `second` is gone.
fn one_after_the_other(folder: &Folder) -> Plan {
    let traces =
        vec![folder.record("first", Ephemeral, PAGES, STEP_US), folder.record("second", Ephemeral, PAGES, STEP_US)];
    let puts = u64::from(PAGES) + 2;
    respace(&traces[0].1, |n, was| if n < puts { was } else { was + 30_000_000 });
    let mut service = Service::new();
    service.register("first", 1);
    service.decide(0, TOTAL_BYTES / 2);
    service.decide(1, TOTAL_BYTES / 2);
    service.register("second", 7);
    service.decide(20, TOTAL_BYTES / 2);
    let log = folder.path("log");
    fs::write(&log, &service.log).unwrap();
    let log = DecisionLog::read(&[log]).unwrap();
    assert_eq!(log.total_bytes(), TOTAL_BYTES);
    Plan::new(policy(POLICY), Host::Logged(log), traces).unwrap()
}

#[test]
fn who_comes_first_keeps_it_under_greedy_and_the_heavier_gets_more_by_weight() {
    let folder = Folder::new();
    let plan = one_after_the_other(&folder);
    let [greedy, equal, weighted] = [Greedy, Static, Weighted].map(|algorithm| {
        let outcome = play(&plan, algorithm);
        assert_eq!(outcome[1].vm.as_str(), "second");
        hits(&outcome[1])
    });
    assert_eq!(greedy, 0, "the pool was full");
    // Both are on their way to half of the pool and to three quarters when the guest has put its pages.
    assert!(equal > 200 && weighted * 4 > equal * 5, "{equal}, {weighted}");
}

#[test]
fn a_weight_that_is_set_goes_before_that_of_the_log() {
    let folder = Folder::new();
    let mut plan = one_after_the_other(&folder);
    let by_class = hits(&play(&plan, Weighted)[1]);
    plan.set_weight(&"second".parse().unwrap(), 100).unwrap();
    assert_eq!(play(&plan, Weighted)[1].answers, play(&plan, Static)[1].answers, "as heavy as the other");
    plan.set_weight(&"second".parse().unwrap(), 300).unwrap();
    assert_eq!(hits(&play(&plan, Weighted)[1]), by_class);
    let mut error = |vm: &str, weight| plan.set_weight(&vm.parse().unwrap(), weight).unwrap_err().to_string();
    assert_eq!(error("third", 1), "third is given a weight, and has no trace");
    assert_eq!(error("second", 10_001), "10001 is no weight for second; a weight is 1 to 10000");
}

#[test]
fn a_lease_that_is_still_on_its_way_is_off_its_entitlement() {
    let folder = Folder::new();
    let plan = one_after_the_other(&folder);
    let equal = play(&plan, Static);
    let first = &equal[0];
    assert!(first.intervals_off > 0 && first.intervals_off < first.intervals, "{first:?}");
    assert!(first.pages_evicted > 0);
    let alone = folder.record("alone", Ephemeral, PAGES, STEP_US);
    let plan = Plan::new(policy(POLICY), Host::Constant { pool_bytes: 4 * MIB }, vec![alone]).unwrap();
    assert!(
        ALL.iter().all(|algorithm| play(&plan, *algorithm)[0].intervals_off == 0),
        "it has all of the pool at once"
    );
}

#[test]
fn the_host_is_as_short_as_the_log_says() {
    let folder = Folder::new();
    let traces = vec![folder.record("vm", Ephemeral, PAGES, STEP_US)];
    let mut service = Service::new();
    service.register("vm", 1);
    let plenty = TOTAL_BYTES / 2;
    for (second, available_bytes) in [(0, plenty), (2, TOTAL_BYTES / 25), (3, plenty)] {
        service.decide(second, available_bytes);
    }
    let log = folder.path("log");
    fs::write(&log, &service.log).unwrap();
    let plan = Plan::new(policy(POLICY), Host::Logged(DecisionLog::read(&[log]).unwrap()), traces).unwrap();
    let outcome = &play(&plan, Demand)[0];
    // Puts last for 4 s. State hard is entered at 2 s, and not left before they end.
    assert_eq!((stored(outcome), over_limit(outcome)), (998, 1002), "{outcome:?}");
}

#[test]
fn what_the_stores_hold_here_and_not_there_is_not_available() {
    let folder = Folder::new();
    let traces = vec![folder.record("vm", Persistent, PAGES, STEP_US)];
    let mut service = Service::new();
    service.register("vm", 1);
    // One MiB above the mark of state clear, while the store holds nothing, as it says.
    service.decide(0, TOTAL_BYTES / 5 + MIB);
    let log = folder.path("log");
    fs::write(&log, &service.log).unwrap();
    let log = DecisionLog::read(&[log]).unwrap();
    let text = POLICY.replace("size_max = \"4MiB\", size_min = \"4MiB\"", "size_max = \"64MiB\", size_min = \"0MiB\"");
    let plan = Plan::new(policy(&text), Host::Logged(log), traces).unwrap();
    let outcome = &play(&plan, Demand)[0];
    let held = stored(outcome) * 2048;
    assert!((MIB / 2..2 * MIB).contains(&held), "what it stores the host lacks: {outcome:?}");
}

#[test]
fn vms_of_the_log_without_a_trace_are_told() {
    let folder = Folder::new();
    let plan = one_after_the_other(&folder);
    assert_eq!(plan.left_out().count(), 0);
    let log = || DecisionLog::read(&[folder.path("log")]).unwrap();
    let traces = vec![("first".parse().unwrap(), folder.path("first.trace"))];
    let plan = Plan::new(policy(POLICY), Host::Logged(log()), traces).unwrap();
    assert_eq!(plan.left_out().map(VmName::as_str).collect::<Vec<_>>(), ["second"]);
    assert_eq!(play(&plan, Greedy).len(), 1);
}

#[test]
fn a_gap_of_hours_is_played_with_every_interval() {
    let folder = Folder::new();
    let (vm, path) = folder.record("vm", Persistent, 10, 1000);
    respace(&path, |n, was| if n < 15 { was } else { was + 3_600_000_000 });
    let plan = Plan::new(policy(POLICY), Host::Constant { pool_bytes: 4 * MIB }, vec![(vm, path)]).unwrap();
    let outcome = &play(&plan, Weighted)[0];
    assert_eq!((outcome.intervals, hits(outcome)), (3601, 10));
}
