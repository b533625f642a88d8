//! What the laws promise together, for any policy and any observation.

use proptest::prelude::*;

use super::lease::Reason;
use super::observation::{HostObservation, Identity, Statistics};
use super::state::Level;
use super::*;
use crate::schema::Algorithm;
use crate::text::{Source, read};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const POOL: u64 = GIB;
const HOST: HostObservation =
    HostObservation { now_ms: 0, total_bytes: 64 * GIB, available_bytes: 32 * GIB, psi: None };
const ALGORITHMS: [Algorithm; 4] = [Algorithm::Greedy, Algorithm::Static, Algorithm::Weighted, Algorithm::Demand];

/// A policy of three classes, by uid, over a pool of 1 GiB: weights 100, 200 and 400; the third has 128 MiB reserved and
/// the second no more than a quarter of the pool.
fn policy(algorithm: Algorithm) -> Policy {
    let text = r#"
        pool = { size_max = "1GiB", size_min = "1GiB" }
        class.default.tmem.limit = "100%"
        class.silver = { weight = 200, tmem.limit = "25%" }
        class.gold = { weight = 400, tmem.reservation = "128MiB" }
        [[vm]]
        match.uid = 1
        class = "silver"
        [[vm]]
        match.uid = 2
        class = "gold"
    "#;
    let mut policy = read(vec![Source { path: "p.toml".into(), text: text.into() }], 64 * GIB).policy.unwrap();
    policy.share.algorithm = algorithm;
    policy
}

fn vm(uid: u32, lease_mib: u64, used_mib: u64) -> VmObservation {
    VmObservation {
        identity: Identity { name: format!("vm{uid}"), uid, ..Identity::default() },
        memory_bytes: GIB,
        resident_bytes: GIB,
        weight: None,
        limit_bytes: None,
        lease_bytes: lease_mib * MIB,
        used_bytes: used_mib * MIB,
        ephemeral_bytes: 0,
        statistics: Statistics::default(),
    }
}

fn seen(vms: Vec<VmObservation>) -> Observation {
    Observation { host: HOST, vms }
}

/// What the VMs would hold if they had room for all of it, against the leases that they get: each puts what it lacks in
/// every interval, and what does not fit is rejected.
fn simulate(policy: &Policy, wanted_mib: &[(u32, u64)], intervals: usize) -> Vec<Vec<u64>> {
    let mut state = HostState::default();
    let mut observation = seen(wanted_mib.iter().map(|(uid, _)| vm(*uid, 0, 0)).collect());
    let mut history = Vec::new();
    for _ in 0..intervals {
        let decision = decide(policy, state, &observation);
        state = decision.host.state;
        for ((vm, decided), (_, wanted_mib)) in observation.vms.iter_mut().zip(&decision.vms).zip(wanted_mib) {
            vm.lease_bytes = decided.lease.bytes;
            vm.used_bytes = (wanted_mib * MIB).min(vm.lease_bytes);
            vm.statistics.rejected_pages = (wanted_mib * MIB - vm.used_bytes) / 4096;
        }
        history.push(observation.vms.iter().map(|vm| vm.lease_bytes).collect());
    }
    history
}

fn last_mib(history: &[Vec<u64>]) -> Vec<u64> {
    history.last().unwrap().iter().map(|bytes| bytes / MIB).collect()
}

#[test]
fn a_weight_that_was_set_holds_in_place_of_the_class_s() {
    let set = VmObservation { weight: Some(300), ..vm(0, 0, 0) };
    let decision = decide(&policy(Algorithm::Weighted), HostState::default(), &seen(vec![vm(0, 0, 0), set]));
    assert_eq!(decision.vms.iter().map(|vm| vm.terms.weight).collect::<Vec<_>>(), [100, 300]);
    let [one, other] = [0, 1].map(|index| decision.vms[index].lease.bytes);
    assert_eq!((one, other), (POOL / 4, 3 * POOL / 4));
}

#[test]
fn one_that_holds_most_of_the_pool_keeps_it_where_the_pool_stops_to_grow() {
    let mut policy = policy(Algorithm::Demand);
    policy.pool.size_min = crate::SizeOrPercent::Bytes(0);
    policy.class.get_mut("default").unwrap().tmem.limit = crate::SizeOrPercent::Percent(Percent::whole(50));
    let clear = HostObservation { available_bytes: 12 * GIB, ..HOST };
    let mut observation = Observation { host: clear, vms: vec![vm(0, 512, 512)] };
    for _ in 0..20 {
        let decision = decide(&policy, HostState::default(), &observation);
        assert_eq!((decision.host.state.level, decision.pool.bytes), (Level::Clear, 512 * MIB));
        observation.vms[0].lease_bytes = decision.vms[0].lease.bytes;
        observation.vms[0].used_bytes = decision.vms[0].lease.bytes;
    }
    assert_eq!(observation.vms[0].lease_bytes, 512 * MIB);
}

/// Xen compared the wrong way round from 2009 to its end: with equal weights, the one who held less gave first.
#[test]
fn of_two_with_equal_weights_the_one_who_holds_more_gives_first() {
    for algorithm in [Algorithm::Static, Algorithm::Weighted, Algorithm::Demand] {
        let short = HostObservation { available_bytes: 7 * GIB, ..HOST };
        for host in [HOST, short] {
            let observation = Observation { host, vms: vec![vm(0, 900, 900), vm(0, 300, 300)] };
            let decision = decide(&policy(algorithm), HostState::default(), &observation);
            let [more, less] = decision.vms.as_slice() else { panic!("two VMs") };
            assert!(more.lease.bytes < 900 * MIB, "{algorithm:?}: {more:?}");
            assert_eq!(less.lease.bytes, 300 * MIB, "{algorithm:?}: {less:?}");
        }
    }
}

#[test]
fn equal_weights_come_to_equal_shares_whoever_was_first() {
    for algorithm in [Algorithm::Static, Algorithm::Weighted, Algorithm::Demand] {
        let policy = policy(algorithm);
        let mut observation = seen(vec![vm(0, 1024, 1024), vm(0, 0, 0)]);
        for vm in &mut observation.vms {
            vm.statistics.rejected_pages = 1 << 20;
        }
        for _ in 0..60 {
            let decision = decide(&policy, HostState::default(), &observation);
            for (vm, decided) in observation.vms.iter_mut().zip(decision.vms) {
                vm.lease_bytes = decided.lease.bytes;
                vm.used_bytes = decided.lease.bytes;
            }
        }
        let [first, second] = [observation.vms[0].lease_bytes, observation.vms[1].lease_bytes];
        assert!(first.abs_diff(second) <= 2 * policy.share.min_change.0, "{algorithm:?}: {first} and {second}");
    }
}

#[test]
fn a_vm_that_asks_gets_what_another_leaves() {
    let history = simulate(&policy(Algorithm::Demand), &[(0, 2000), (0, 100)], 60);
    let [asks, leaves] = last_mib(&history)[..] else { panic!("two VMs") };
    assert!(asks + leaves == 1023 && (100..104).contains(&leaves), "{asks} and {leaves}: all but a small change");
    let weighted = simulate(&policy(Algorithm::Weighted), &[(0, 2000), (0, 100)], 60);
    assert_eq!(last_mib(&weighted), [512, 512], "weights do not ask who uses it");
}

#[test]
fn what_all_ask_for_is_shared_out_by_weight_within_reservations_and_limits() {
    let history = simulate(&policy(Algorithm::Demand), &[(0, 2000), (1, 2000), (2, 2000)], 60);
    // 896 MiB by 1 : 2 : 4, and the reservation of the third; 256 is a quarter of the pool.
    assert_eq!(last_mib(&history), [128, 256, 640]);
}

#[test]
fn a_burst_is_given_room_in_the_next_interval_from_what_nobody_uses() {
    let policy = policy(Algorithm::Demand);
    let idle = simulate(&policy, &[(0, 10), (0, 10)], 20);
    assert_eq!(last_mib(&idle), [512, 512], "room before it is asked for");
}

#[test]
fn an_idle_vm_is_entitled_to_less() {
    let mut observation = seen(vec![vm(0, 512, 512), vm(0, 512, 512)]);
    observation.vms[0].statistics = Statistics { stored_pages: 1000, hit_pages: 0, ..Statistics::default() };
    observation.vms[1].statistics = Statistics { stored_pages: 1000, hit_pages: 1000, ..Statistics::default() };
    let entitled = |observation: &Observation| {
        let decision = decide(&policy(Algorithm::Weighted), HostState::default(), observation);
        decision.vms.iter().map(|vm| (vm.lease.holding.entitlement_bytes * 10 + GIB / 2) / GIB).collect::<Vec<_>>()
    };
    assert_eq!(entitled(&observation), [2, 8], "1 to 4 at a tax of 75%");
    observation.vms[0].statistics.age_ms = 15_001;
    assert_eq!(entitled(&observation), [5, 5], "stale statistics are not believed");
}

#[test]
fn only_the_reservation_is_left_of_a_lease_when_the_host_is_all_but_out_of_memory() {
    let host = HostObservation { available_bytes: GIB, ..HOST };
    let observation = Observation { host, vms: vec![vm(0, 400, 400), vm(2, 400, 400)] };
    let decision = decide(&policy(Algorithm::Demand), HostState::default(), &observation);
    assert_eq!(decision.host.state.level, Level::Low);
    let leases = decision.vms.iter().map(|vm| (vm.lease.bytes / MIB, vm.lease.reason));
    assert_eq!(leases.collect::<Vec<_>>(), [(0, Reason::HostShort), (128, Reason::HostShort)]);
}

#[test]
fn a_pool_that_shrinks_keeps_room_for_reservations() {
    let mut policy = policy(Algorithm::Demand);
    policy.pool.size_min = crate::SizeOrPercent::Bytes(0);
    let host = HostObservation { available_bytes: GIB, ..HOST };
    let decision = decide(&policy, HostState::default(), &Observation { host, vms: vec![vm(2, 0, 0), vm(0, 0, 0)] });
    assert_eq!((decision.pool.bytes, decision.vms[0].lease.bytes), (128 * MIB, 128 * MIB));
}

#[test]
fn a_decision_says_what_it_was_made_from() {
    let decision = decide(&policy(Algorithm::Demand), HostState::default(), &seen(vec![vm(2, 0, 0)]));
    let json = serde_json::to_value(&decision).unwrap();
    assert_eq!(json["host"]["observed"]["available_bytes"], 32 * GIB);
    assert_eq!(json["pool"]["max_bytes"], POOL);
    let vm = &json["vms"][0];
    assert_eq!((&vm["standing"]["class"], &vm["standing"]["rule"]), (&"gold".into(), &1.into()));
    assert_eq!((&vm["terms"]["weight"], &vm["lease"]["reason"]), (&400.into(), &"grow".into()));
    assert_eq!(vm["lease"]["holding"]["entitlement_bytes"], POOL);
}

#[test]
fn a_host_without_vms_and_a_policy_that_observes_decide_too() {
    let mut policy = policy(Algorithm::Demand);
    policy.mode = Mode::Observe;
    let decision = decide(&policy, HostState::default(), &seen(Vec::new()));
    assert_eq!((decision.mode, decision.vms.len()), (Mode::Observe, 0));
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(&ALGORITHMS[..])
}

/// Sane sizes mostly, and any number at all now and then.
fn any_bytes() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..2 * GIB, 1 => any::<u64>()]
}

fn any_vm() -> impl Strategy<Value = VmObservation> {
    let numbers = (any_bytes(), any_bytes(), any_bytes(), prop::option::of(any_bytes()));
    let counts = (0..20_000_u64, any_bytes(), any_bytes(), any_bytes());
    (0..3_u32, numbers, counts).prop_map(|(uid, (memory_bytes, lease_bytes, used_bytes, limit_bytes), counts)| {
        let (age_ms, hit_pages, stored_pages, rejected_pages) = counts;
        let statistics = Statistics { age_ms, hit_pages, stored_pages, rejected_pages };
        VmObservation { memory_bytes, lease_bytes, used_bytes, limit_bytes, statistics, ..vm(uid, 0, 0) }
    })
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let available = prop_oneof![4 => 0..32 * GIB, 1 => any::<u64>()];
    (available, prop::collection::vec(any_vm(), 0..10))
        .prop_map(|(available_bytes, vms)| Observation { host: HostObservation { available_bytes, ..HOST }, vms })
}

proptest! {
    #[test]
    fn leases_together_are_never_above_the_pool_and_entitlements_use_it_whole(
        algorithm in any_algorithm(), observation in any_observation(),
    ) {
        let decision = decide(&policy(algorithm), HostState::default(), &observation);
        let pool = decision.pool.bytes;
        prop_assert!(sum(decision.vms.iter().map(|vm| vm.lease.bytes)) <= pool);
        let limits = sum(decision.vms.iter().map(|vm| vm.claim.limit_bytes.min(MOST)));
        let entitled = sum(decision.vms.iter().map(|vm| vm.lease.holding.entitlement_bytes));
        prop_assert_eq!(entitled, pool.min(limits));
    }

    #[test]
    fn limits_are_never_exceeded_and_reservations_that_fit_always_hold(
        algorithm in any_algorithm(), observation in any_observation(),
    ) {
        let decision = decide(&policy(algorithm), HostState::default(), &observation);
        let reserved = sum(decision.vms.iter().map(|vm| vm.terms.tmem_reservation_bytes));
        for (vm, seen) in decision.vms.iter().zip(&observation.vms) {
            prop_assert!(vm.lease.bytes <= vm.terms.tmem_limit_bytes);
            prop_assert!(vm.lease.bytes <= seen.limit_bytes.unwrap_or(u64::MAX));
            if reserved <= decision.pool.bytes {
                prop_assert!(vm.lease.bytes >= vm.terms.tmem_reservation_bytes, "{vm:?}");
            }
        }
    }

    #[test]
    fn who_is_below_its_entitlement_gives_nothing(algorithm in any_algorithm(), observation in any_observation()) {
        let decision = decide(&policy(algorithm), HostState::default(), &observation);
        let is_low = decision.host.state.level == Level::Low;
        for vm in decision.vms.iter().filter(|vm| !is_low && vm.lease.bytes < vm.lease.holding.lease_bytes) {
            prop_assert!(vm.lease.bytes >= vm.lease.holding.entitlement_bytes.min(vm.claim.limit_bytes), "{vm:?}");
        }
    }

    #[test]
    fn a_heavier_weight_never_gets_less(
        weighted: bool, observation in any_observation(), light in 1..10_000_u32, more in 1..10_000_u32,
    ) {
        let algorithm = if weighted { Algorithm::Weighted } else { Algorithm::Demand };
        let mut policy = policy(algorithm);
        let heavy = (light + more).min(10_000);
        // Two VMs that differ in their class alone, and the classes in their weight alone.
        for (name, weight) in [("default", light), ("silver", heavy)] {
            let class = crate::schema::Class { weight, ..policy.default_class().clone() };
            policy.class.insert(name.parse().unwrap(), class);
        }
        let mut observation = observation;
        observation.vms.push(vm(0, 100, 300));
        observation.vms.push(vm(1, 100, 300));
        let decision = decide(&policy, HostState::default(), &observation);
        let [.., lighter, heavier] = decision.vms.as_slice() else { panic!("two VMs at least") };
        prop_assert!(heavier.lease.holding.entitlement_bytes >= lighter.lease.holding.entitlement_bytes);
    }

    #[test]
    fn with_the_same_input_leases_come_to_rest(algorithm in any_algorithm(), observation in any_observation()) {
        let policy = policy(algorithm);
        let (mut observation, mut state) = (observation, HostState::default());
        let mut leases = Vec::new();
        for interval in 0..400 {
            observation.host.now_ms = interval * 1000;
            let decision = decide(&policy, state, &observation);
            state = decision.host.state;
            for (vm, decided) in observation.vms.iter_mut().zip(&decision.vms) {
                vm.lease_bytes = decided.lease.bytes;
            }
            leases.push(observation.vms.iter().map(|vm| vm.lease_bytes).collect::<Vec<_>>());
        }
        prop_assert!(leases[200..].windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn vms_that_want_the_same_all_the_time_come_to_rest(
        algorithm in any_algorithm(), wanted in prop::collection::vec((0..3_u32, 0..3000_u64), 1..6),
    ) {
        let history = simulate(&policy(algorithm), &wanted, 400);
        prop_assert!(history[200..].windows(2).all(|pair| pair[0] == pair[1]), "{:?}", &history[390..]);
    }

    #[test]
    fn rules_and_defaults_of_any_policy_hold_on_any_host(host in any::<[u64; 3]>(), observation in any_observation()) {
        let [now_ms, total_bytes, available_bytes] = host;
        let host = HostObservation { now_ms, total_bytes, available_bytes, psi: None };
        let decision = decide(&Policy::default(), HostState::default(), &Observation { host, ..observation });
        prop_assert!(sum(decision.vms.iter().map(|vm| vm.lease.bytes)) <= decision.pool.bytes);
        prop_assert!(decision.pool.bytes <= total_bytes);
    }
}
