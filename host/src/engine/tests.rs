//! VMs that come, report, lie and go.

use policy::Source;
use policy::law::observation::HostObservation;
use protocol::RefusalKind;
use protocol::service::{Registration, VMS_PER_PAGE};
use serde_json::Value;

use super::admission::Admitted;
use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const INTERVAL_MS: u64 = 1000;

/// A host of 64 GiB with plenty free, and a pool of 96 MiB; VMs of user 7 weigh 400.
fn engine(more: &str) -> Engine {
    let text = format!(
        "{more}\npool = {{ size_max = \"96MiB\", size_min = \"96MiB\" }}\nclass.default.tmem.limit = \"100%\"\n\
         share.idle_after = \"5s\"\nclass.heavy.weight = 400\n[[vm]]\nmatch.uid = 7\nclass = \"heavy\"\n"
    );
    let reading = policy::read(vec![Source { path: "p.toml".into(), text }], 64 * GIB);
    let policy = reading.policy.unwrap();
    Engine::new(InForce { policy, path: None, generation: 1, sha256: String::new(), error: None }, 0)
}

fn host(now_ms: u64) -> HostObservation {
    HostObservation { now_ms, total_bytes: 64 * GIB, available_bytes: 32 * GIB, psi: None }
}

fn name(name: &str) -> VmName {
    name.parse().unwrap()
}

fn origin(uid: u32) -> Origin {
    Origin { uid, pid: 1, cgroup: None }
}

fn counts(used_mib: u64, rejected: u64) -> Counts {
    Counts { limit_bytes: GIB, used_bytes: used_mib * MIB, puts_rejected_over_limit: rejected, ..Counts::default() }
}

fn registration(vm: &str, runs: bool, lease_mib: u64) -> Registration {
    let counts = counts(0, 0);
    Registration { name: name(vm), label: None, memory_bytes: GIB, runs, lease_bytes: lease_mib * MIB, counts }
}

fn register(engine: &mut Engine, uid: u32, registration: Registration, now_ms: u64) -> Result<Admitted, Refusal> {
    engine.register(origin(uid), registration, host(now_ms), |_| None)
}

fn lease_mib(engine: &Engine, vm: &str) -> u64 {
    engine.vms[&name(vm)].told.lease_bytes / MIB
}

/// What a VM counts next that wants so much: it fills its lease and is rejected beyond.
fn counts_of(engine: &Engine, vm: &str, wanted_mib: u64) -> Counts {
    let used = wanted_mib.min(lease_mib(engine, vm));
    counts(used, engine.vms[&name(vm)].counts.puts_rejected_over_limit + (wanted_mib - used) * 256)
}

/// Decides once a second. Each VM is `(name, what it wants)`: it fills its lease and is rejected beyond.
fn run(engine: &mut Engine, from_ms: u64, seconds: u64, wanted: &[(&str, u64)]) -> u64 {
    for second in 0..seconds {
        let now_ms = from_ms + second * INTERVAL_MS;
        for (vm, wanted_mib) in wanted {
            let counts = counts_of(engine, vm, *wanted_mib);
            engine.count(&name(vm), counts, now_ms);
        }
        engine.decide(host(now_ms));
    }
    from_ms + seconds * INTERVAL_MS
}

#[test]
fn the_pool_is_shared_by_weight() {
    let mut engine = engine("");
    for (vm, uid) in [("one", 1), ("other", 1), ("heavy", 7)] {
        register(&mut engine, uid, registration(vm, false, 0), 0).unwrap();
    }
    run(&mut engine, SETTLE_MS, 25, &[("one", 90), ("other", 90), ("heavy", 90)]);
    assert_eq!([lease_mib(&engine, "one"), lease_mib(&engine, "other"), lease_mib(&engine, "heavy")], [16, 16, 64]);
}

#[test]
fn a_vm_that_rests_is_judged_like_one_that_reports_the_same_over_and_over() {
    let one_engine = |rests: bool| {
        let mut engine = engine("");
        for vm in ["idle", "busy"] {
            register(&mut engine, 1, registration(vm, false, 0), 0).unwrap();
        }
        let now_ms = run(&mut engine, SETTLE_MS, 25, &[("idle", 48), ("busy", 90)]);
        let held = counts_of(&engine, "idle", 48);
        for second in 0..200 {
            let now_ms = now_ms + second * INTERVAL_MS;
            if second % 60 == 0 || !rests {
                engine.count(&name("idle"), Counts { rests, ..held }, now_ms);
            }
            let wanted = counts_of(&engine, "busy", 90);
            engine.count(&name("busy"), wanted, now_ms);
            engine.decide(host(now_ms));
        }
        let last = engine.last.as_ref().unwrap();
        let idle = last.decision.vms.iter().find(|vm| vm.name == "idle").unwrap();
        (idle.active, idle.claim, idle.lease, lease_mib(&engine, "busy"))
    };
    let told = one_engine(false);
    assert!(told.0.is_some(), "its counts are fresh");
    assert_eq!(one_engine(true), told);
}

#[test]
fn a_vm_that_rests_and_is_not_heard_of_for_minutes_is_stale() {
    let mut engine = engine("");
    register(&mut engine, 1, registration("web", false, 0), 0).unwrap();
    engine.count(&name("web"), Counts { rests: true, ..counts(0, 0) }, 0);
    let active = |engine: &mut Engine, now_ms| {
        engine.decide(host(now_ms));
        engine.last.as_ref().unwrap().decision.vms[0].active
    };
    let silent = (0..300).map(|second| active(&mut engine, second * INTERVAL_MS).is_some()).collect::<Vec<_>>();
    assert!(silent[..120].iter().all(|is_fresh| *is_fresh), "it reports once a minute");
    assert_eq!(silent.last(), Some(&false));
}

#[test]
fn one_who_comes_later_gets_what_others_give_back() {
    let mut engine = engine("");
    register(&mut engine, 1, registration("one", false, 0), 0).unwrap();
    let now_ms = run(&mut engine, SETTLE_MS, 5, &[("one", 90)]);
    assert_eq!(lease_mib(&engine, "one"), 96);
    register(&mut engine, 7, registration("heavy", false, 0), now_ms).unwrap();
    let now_ms = run(&mut engine, now_ms, 1, &[("one", 90), ("heavy", 90)]);
    assert!(lease_mib(&engine, "one") > 80, "by steps: {}", lease_mib(&engine, "one"));
    run(&mut engine, now_ms, 25, &[("one", 90), ("heavy", 90)]);
    assert_eq!(lease_mib(&engine, "one") + lease_mib(&engine, "heavy"), 95, "the rest is rounding");
    // A fifth of the pool, to within `share.min_change`.
    assert!((19..=23).contains(&lease_mib(&engine, "one")), "{}", lease_mib(&engine, "one"));
}

#[test]
fn nothing_is_given_before_those_who_kept_their_lease_are_back() {
    let mut engine = engine("");
    register(&mut engine, 1, registration("new", false, 0), 0).unwrap();
    run(&mut engine, 0, 2, &[("new", 90)]);
    assert_eq!(lease_mib(&engine, "new"), 0);
    register(&mut engine, 1, registration("back", true, 60), 2500).unwrap();
    assert_eq!(lease_mib(&engine, "back"), 60);
    run(&mut engine, SETTLE_MS, 1, &[("new", 90), ("back", 60)]);
    assert!(lease_mib(&engine, "new") <= 36, "{}", lease_mib(&engine, "new"));
}

#[test]
fn a_claimed_lease_counts_only_while_the_service_is_new() {
    let mut engine = engine("");
    let now_ms = run(&mut engine, 0, 10, &[]);
    register(&mut engine, 1, registration("liar", true, 4096), now_ms).unwrap();
    assert_eq!(lease_mib(&engine, "liar"), 0);
}

#[test]
fn one_that_comes_back_late_keeps_what_it_holds_of_its_lease() {
    let late = |lease_mib, used_mib, resident_mib: u64| {
        let mut engine = engine("");
        let now_ms = run(&mut engine, 0, 10, &[]);
        let back = Registration { counts: counts(used_mib, 0), ..registration("back", true, lease_mib) };
        engine.register(origin(1), back, host(now_ms), |_| Some(resident_mib * MIB)).unwrap().lease.lease_bytes / MIB
    };
    assert_eq!(late(60, 50, 200), 50);
    assert_eq!(late(40, 50, 200), 40);
    // What it says of itself is not what it has.
    assert_eq!(late(60, 4096, 20), 20);
}

/// An engine with one that says to have had, and to hold, all there is. It comes among the first.
fn with_a_liar(more: &str, resident_bytes: Option<u64>) -> Engine {
    let mut engine = engine(more);
    let counts = Counts { limit_bytes: 1 << 60, used_bytes: 1 << 60, ..Counts::default() };
    let liar = Registration { lease_bytes: 1 << 60, counts, ..registration("liar", true, 0) };
    engine.register(origin(1), liar, host(0), |_| resident_bytes).unwrap();
    register(&mut engine, 1, registration("honest", false, 0), 0).unwrap();
    for second in 0..30 {
        let now_ms = second * INTERVAL_MS;
        engine.count(&name("liar"), counts, now_ms);
        let used = counts_of(&engine, "honest", 90);
        engine.count(&name("honest"), used, now_ms);
        engine.look_at_processes(64, |_| resident_bytes, |_| None);
        engine.decide(host(now_ms));
    }
    engine
}

#[test]
fn a_claim_of_all_there_is_is_believed_while_the_service_is_new_and_then_no_more_than_the_process_holds() {
    for resident_bytes in [None, Some(0), Some(20 * MIB)] {
        let engine = with_a_liar("", resident_bytes);
        // Its half of the pool, and what any store may be above its lease for a moment.
        let believed = engine.vms[&name("liar")].used_bytes();
        assert!(believed <= 53 * MIB, "{resident_bytes:?}: {} MiB", believed / MIB);
        assert!(lease_mib(&engine, "honest") >= 43, "{resident_bytes:?}: {}", lease_mib(&engine, "honest"));
    }
    let engine = with_a_liar("", Some(80 * MIB));
    assert_eq!(engine.vms[&name("liar")].used_bytes(), 84 * MIB, "what it holds in fact is not there for others");
}

#[test]
fn a_claimed_lease_is_within_the_vms_limit_and_the_pool() {
    let mut engine = engine("");
    register(&mut engine, 1, registration("liar", true, 4096), 0).unwrap();
    assert_eq!(lease_mib(&engine, "liar"), 96);
    let counts = Counts { limit_bytes: 40 * MIB, ..Counts::default() };
    register(&mut engine, 1, Registration { counts, ..registration("small", true, 4096) }, 0).unwrap();
    assert_eq!(lease_mib(&engine, "small"), 40);
}

#[test]
fn in_mode_observe_too_no_more_is_believed_than_a_process_holds() {
    let engine = with_a_liar("mode = \"observe\"", Some(80 * MIB));
    assert!(engine.host(true, 0).unwrap().used_bytes <= (84 + 90) * MIB);
}

#[test]
fn one_that_comes_back_has_what_it_had_and_another_users_has_not() {
    let mut engine = engine("");
    register(&mut engine, 1, registration("vm", false, 0), 0).unwrap();
    engine.set_weight(&name("vm"), Some(50)).unwrap();
    let now_ms = run(&mut engine, SETTLE_MS, 5, &[("vm", 90)]);
    engine.leave(&name("vm"), now_ms);
    register(&mut engine, 1, registration("vm", true, 4096), now_ms).unwrap();
    assert_eq!(lease_mib(&engine, "vm"), 96);
    assert_eq!(engine.vms[&name("vm")].weight, Some(50));
    engine.leave(&name("vm"), now_ms);
    register(&mut engine, 2, registration("vm", true, 4096), now_ms).unwrap();
    assert_eq!(lease_mib(&engine, "vm"), 0);
    engine.leave(&name("vm"), now_ms);
    register(&mut engine, 2, registration("vm", false, 0), now_ms).unwrap();
    assert_eq!(lease_mib(&engine, "vm"), 0, "one that was started again is another VM");
}

#[test]
fn a_name_is_had_by_one() {
    let mut engine = engine("");
    register(&mut engine, 1, registration("vm", false, 0), 0).unwrap();
    let refusal = register(&mut engine, 7, registration("vm", false, 0), 0).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NameTaken);
    assert_eq!(engine.owner(&name("vm")), Some(1));
}

#[test]
fn who_says_to_hold_more_than_it_was_given_is_not_believed() {
    let mut engine = engine("");
    register(&mut engine, 1, registration("liar", false, 0), 0).unwrap();
    register(&mut engine, 1, registration("honest", false, 0), 0).unwrap();
    let now_ms = run(&mut engine, SETTLE_MS, 5, &[("liar", 40), ("honest", 90)]);
    let before = lease_mib(&engine, "honest");
    assert!(engine.count(&name("liar"), counts(1 << 40, 0), now_ms));
    engine.decide(host(now_ms));
    // What any store may be above its lease for a moment, and no more.
    assert!(lease_mib(&engine, "honest") + 4 >= before, "{} of {before}", lease_mib(&engine, "honest"));
    assert!(engine.vms[&name("liar")].used_bytes() <= 100 * MIB);
    assert!(!engine.count(&name("liar"), counts(40, 0), now_ms));
}

#[test]
fn what_is_still_held_after_a_cut_is_believed() {
    let mut engine = engine("");
    engine.register(origin(1), registration("vm", false, 0), host(0), |_| Some(200 * MIB)).unwrap();
    register(&mut engine, 7, registration("heavy", false, 0), 0).unwrap();
    engine.leave(&name("heavy"), 0);
    let now_ms = run(&mut engine, SETTLE_MS, 5, &[("vm", 96)]);
    register(&mut engine, 7, registration("heavy", false, 0), now_ms).unwrap();
    for second in 0..25 {
        let now_ms = now_ms + second * INTERVAL_MS;
        // Persistent pages: the store cannot give them back.
        engine.count(&name("vm"), counts(90, 0), now_ms);
        engine.count(&name("heavy"), counts(0, second * 1000), now_ms);
        engine.decide(host(now_ms));
    }
    assert_eq!(engine.vms[&name("vm")].used_bytes(), 90 * MIB);
    assert!(lease_mib(&engine, "heavy") <= 6, "{} while the other holds its room", lease_mib(&engine, "heavy"));
}

#[test]
fn a_vm_for_which_the_host_has_no_room_is_told_why() {
    let mut engine = engine("host.overcommit_limit = \"10%\"");
    let large = Registration { memory_bytes: 8 * GIB, ..registration("large", false, 0) };
    let refusal = register(&mut engine, 1, large.clone(), 0).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NotAdmitted);
    assert!(refusal.message.contains("host.overcommit_limit"), "{refusal}");
    assert!(register(&mut engine, 1, Registration { runs: true, ..large }, 0).is_ok(), "one that runs already");
}

#[test]
fn a_guest_larger_than_the_host_is_no_vm_whether_it_runs_or_not() {
    let mut engine = engine("host.overcommit_limit = \"400%\"");
    for runs in [false, true] {
        let huge = Registration { memory_bytes: 64 * GIB + 1, ..registration("huge", runs, 0) };
        assert_eq!(register(&mut engine, 1, huge, 0).unwrap_err().kind, RefusalKind::Invalid);
    }
}

#[test]
fn a_label_is_not_empty() {
    let mut engine = engine("");
    let unlabelled = Registration { label: Some(String::new()), ..registration("vm", false, 0) };
    assert_eq!(register(&mut engine, 1, unlabelled, 0).unwrap_err().kind, RefusalKind::Invalid);
}

#[test]
fn reservations_are_within_limits_of_the_largest_pool_when_a_vm_comes_in() {
    // The pool may have 32 GiB. The host is not in state high, so that it has now what is in use: next to nothing.
    let text = "pool = { size_max = \"50%\", size_min = \"1MiB\" }\n\
                class.default.tmem = { reservation = \"100%\", limit = \"50%\" }\nhost.reserve = \"50%\"";
    let policy = policy_of(text);
    let mut engine = Engine::new(InForce { policy, ..engine("").in_force }, 0);
    let short = |now_ms| HostObservation { available_bytes: 9 * GIB, ..host(now_ms) };
    engine.decide(short(0));
    assert!(engine.host(true, 0).unwrap().pool_bytes < GIB);
    let counts = Counts { limit_bytes: 64 * GIB, ..Counts::default() };
    let large = Registration { memory_bytes: 10 * GIB, counts, ..registration("large", false, 0) };
    let refusal = engine.register(origin(1), large, short(0), |_| None).unwrap_err();
    assert!(refusal.message.contains("`host.claim`"), "{refusal}");
}

#[test]
fn in_mode_observe_each_vm_has_its_own_limit() {
    let mut engine = engine("mode = \"observe\"\nhost.overcommit_limit = \"1%\"");
    let large = Registration { memory_bytes: 8 * GIB, ..registration("vm", false, 0) };
    register(&mut engine, 1, large, 0).unwrap();
    run(&mut engine, SETTLE_MS, 5, &[("vm", 90)]);
    assert_eq!(lease_mib(&engine, "vm"), 1024);
    let explained = engine.explain(&name("vm"), 0).unwrap();
    assert_eq!(explained["mode"], "observe");
    assert_eq!(explained["decided"]["lease"]["bytes"], 96 * MIB, "what would be decided");
}

#[test]
fn a_decision_is_explained_with_its_inputs() {
    let mut engine = engine("");
    register(&mut engine, 7, registration("vm", false, 0), 0).unwrap();
    assert_eq!(engine.explain(&name("vm"), 0).unwrap_err().kind, RefusalKind::Failed);
    assert_eq!(engine.explain(&name("none"), 0).unwrap_err().kind, RefusalKind::NoSuchVm);
    let now_ms = run(&mut engine, SETTLE_MS, 5, &[("vm", 50)]);
    let explained = engine.explain(&name("vm"), now_ms).unwrap();
    for (path, value) in [
        ("/decided_ms_ago", 1000),
        ("/host/observed/available_bytes", 32 * GIB),
        ("/pool/bytes", 96 * MIB),
        ("/observed/used_bytes", 50 * MIB),
        ("/decided/terms/weight", 400),
        ("/told/lease_bytes", 96 * MIB),
    ] {
        assert_eq!(explained.pointer(path), Some(&value.into()), "{path}");
    }
    assert_eq!(explained["decided"]["standing"]["class"], "heavy");
}

#[test]
fn control_groups_bound_a_lease() {
    let mut engine = engine("");
    let mut origin = origin(1);
    origin.cgroup = observe::Cgroup::of(i32::try_from(std::process::id()).unwrap());
    let has_group = origin.cgroup.is_some();
    engine.register(origin, registration("vm", false, 0), host(0), |_| None).unwrap();
    engine.look_at_processes(64, |_| None, |_| Some(20 * MIB));
    engine.decide(host(SETTLE_MS));
    assert_eq!(lease_mib(&engine, "vm"), if has_group { 20 } else { 96 });
}

#[test]
fn pages_of_vms_are_in_order_and_only_of_those_that_may_be_seen() {
    let mut engine = engine("");
    for number in 0..40 {
        register(&mut engine, number % 2, registration(&format!("vm{number:02}"), false, 0), 0).unwrap();
    }
    engine.decide(host(0));
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = engine.list(after.as_ref(), |uid| uid == 1, 0);
        assert!(page.vms.len() <= VMS_PER_PAGE);
        names.extend(page.vms.into_iter().map(|vm| vm.name.to_string()));
        if !page.more {
            break;
        }
        after = names.last().map(|last| name(last));
    }
    let wanted: Vec<String> = (0..40).filter(|n| n % 2 == 1).map(|n| format!("vm{n:02}")).collect();
    assert_eq!(names, wanted);
}

#[test]
fn those_furthest_above_their_entitlement_evict_first() {
    let mut engine = engine("");
    for (vm, used, ephemeral) in [("a", 40, 30), ("b", 10, 10), ("c", 60, 20)] {
        register(&mut engine, 1, registration(vm, true, used), 0).unwrap();
        let counts = Counts { ephemeral_bytes: ephemeral * MIB, ..counts(used, 0) };
        engine.count(&name(vm), counts, 0);
    }
    assert_eq!(engine.flush_shares(25 * MIB, host(0)), [(name("c"), 20 * MIB), (name("a"), 5 * MIB)]);
    assert_eq!(engine.flush_shares(u64::MAX, host(0)).len(), 3);
    assert!(engine.flush_shares(0, host(0)).is_empty());
}

#[test]
fn nobody_evicts_below_its_reservation_for_another() {
    let mut engine = engine("class.heavy.tmem.reservation = \"32MiB\"");
    for (vm, uid) in [("reserved", 7), ("other", 1)] {
        register(&mut engine, uid, registration(vm, true, 40), 0).unwrap();
        engine.count(&name(vm), Counts { ephemeral_bytes: 40 * MIB, ..counts(40, 0) }, 0);
    }
    let mut shares = engine.flush_shares(u64::MAX, host(0));
    shares.sort();
    assert_eq!(shares, [(name("other"), 40 * MIB), (name("reserved"), 8 * MIB)]);
}

fn policy_of(text: &str) -> Policy {
    policy::read(vec![Source { path: "p.toml".into(), text: text.into() }], 64 * GIB).policy.unwrap()
}

#[test]
fn another_policy_holds_from_the_next_decision() {
    let mut engine = engine("");
    register(&mut engine, 1, registration("vm", false, 0), 0).unwrap();
    let now_ms = run(&mut engine, SETTLE_MS, 3, &[("vm", 90)]);
    engine.change_policy(policy_of("class.default.tmem.limit = \"8MiB\""), "new".into()).unwrap();
    assert_eq!((engine.in_force().generation, engine.in_force().sha256.as_str()), (2, "new"));
    assert_eq!(lease_mib(&engine, "vm"), 96);
    run(&mut engine, now_ms, 1, &[("vm", 90)]);
    assert_eq!(lease_mib(&engine, "vm"), 8);
}

#[test]
fn a_policy_that_could_not_serve_the_vms_that_run_is_refused_with_their_names() {
    let mut engine = engine("");
    for vm in ["a", "b"] {
        register(&mut engine, 1, registration(vm, false, 0), 0).unwrap();
    }
    run(&mut engine, SETTLE_MS, 1, &[]);
    let text = "pool = { size_max = \"64MiB\", size_min = \"64MiB\" }\n\
                class.default.tmem = { reservation = \"48MiB\", limit = \"100%\" }";
    let error = engine.change_policy(policy_of(text), "new".into()).unwrap_err();
    assert_eq!(error, Unservable(vec!["a".into(), "b".into()]));
    assert_eq!(engine.in_force().generation, 1);
    engine.leave(&name("b"), 0);
    run(&mut engine, SETTLE_MS, 1, &[]);
    assert!(engine.change_policy(policy_of(text), "new".into()).is_ok());
}

#[test]
fn a_decision_that_changes_something_is_logged_with_its_inputs_and_others_now_and_then() {
    let mut engine = engine("");
    assert_eq!(engine.log_line(0), None, "nothing was decided");
    register(&mut engine, 1, registration("vm", false, 0), 0).unwrap();
    engine.decide(host(SETTLE_MS));
    let line: Value = serde_json::from_slice(&engine.log_line(77).unwrap()).unwrap();
    assert_eq!((&line["unix_ms"], &line["generation"]), (&77.into(), &1.into()));
    assert_eq!(line["observation"]["vms"][0]["identity"]["uid"], 1);
    assert_eq!(line["decision"]["vms"][0]["lease"]["bytes"], 96 * MIB);
    let logged = (1..=25).filter(|second| {
        engine.decide(host(SETTLE_MS + second * INTERVAL_MS));
        engine.log_line(0).is_some()
    });
    assert_eq!(logged.collect::<Vec<_>>(), [10, 20]);
}
