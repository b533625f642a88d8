//! The host service as a process, on its real socket: VMs that are honest, and others that are not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not see that a function here serves them"
)]

mod recorded;
mod service;

use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use protocol::RefusalKind;
use protocol::service::{Counts, ServiceReply, ServiceRequest, encode_service_request};
use serde_json::{Value, json};

use recorded::{PAGES, record};
use service::{FakeVm, Service};

const MIB: u64 = 1 << 20;
/// Three VMs' worth of pool, decided ten times a second.
const POLICY: &str = "interval = \"100ms\"\npool = { size_max = \"96MiB\", size_min = \"96MiB\" }\n\
                      class.default.tmem.limit = \"100%\"\nhost.overcommit_limit = \"400%\"\nhost.claim = false\n";
/// Longer than the service waits before it gives anything.
const SETTLED: Duration = Duration::from_secs(10);

fn holding(used_mib: u64) -> Counts {
    Counts { limit_bytes: 1 << 40, used_bytes: used_mib * MIB, ..Counts::default() }
}

#[test]
fn vms_share_the_pool_and_keep_their_leases_when_the_service_is_killed() {
    let mut service = Service::start(POLICY);
    let mut vms: Vec<FakeVm> = ["a", "b", "c"].map(|name| service.vm(name)).into();
    for vm in &mut vms {
        vm.wait_for(SETTLED, |lease| lease.lease_bytes / MIB == 32);
    }
    let leases: Vec<u64> = vms.iter().map(|vm| vm.lease.lease_bytes).collect();
    for _ in 0..3 {
        service.kill();
        assert!(vms.iter_mut().all(|vm| vm.is_lost(Duration::from_secs(5))));
        service.start_again();
        for vm in &mut vms {
            vm.register_again(&service);
        }
        let again: Vec<u64> = vms.iter().map(|vm| vm.lease.lease_bytes).collect();
        assert_eq!(again, leases);
        // Past the time in which what VMs say is taken for what they had.
        thread::sleep(Duration::from_secs(4));
        let host = service.host();
        assert_eq!((host.vms, host.state.as_str()), (3, "high"));
        for vm in &mut vms {
            vm.hear(Duration::from_millis(10));
            assert_eq!(vm.lease.lease_bytes, leases[0]);
        }
    }
}

#[test]
fn a_name_has_one_connection_and_is_free_when_that_ends() {
    let service = Service::start(POLICY);
    let first = service.vm("vm");
    let refusal = service.try_vm("vm").unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NameTaken);
    drop(first);
    let freed = Instant::now();
    while let Err(refusal) = service.try_vm("vm") {
        assert_eq!(refusal.kind, RefusalKind::NameTaken);
        assert!(freed.elapsed() < Duration::from_secs(5), "the name stays taken");
    }
    assert_eq!(service.logged("a VM not let in"), 1, "{}", service.log());
}

#[test]
fn what_is_no_request_ends_the_connection_with_the_reason() {
    let service = Service::start(POLICY);
    for (line, kind) in [
        ("garbage\n", RefusalKind::Malformed),
        ("{\"version\":2,\"request\":\"host\"}\n", RefusalKind::Version),
        ("{\"version\":1,\"request\":{\"report\":{}}}\n", RefusalKind::Malformed),
        ("{\"version\":1,\"request\":{\"register\":{\"name\":\"../x\"}}}\n", RefusalKind::Malformed),
    ] {
        let mut connection = service.connect();
        connection.send(line.as_bytes());
        let ServiceReply::Error(refusal) = connection.next(Duration::from_secs(5)).unwrap() else {
            panic!("{line} was answered")
        };
        assert_eq!(refusal.kind, kind, "{line}");
        assert!(connection.next(Duration::from_secs(5)).is_none(), "the connection stays after {line}");
    }
    assert_eq!(service.logged("no request that it may make"), 1, "{}", service.log());
}

#[test]
fn a_vm_that_asks_for_more_than_its_lease_is_closed() {
    let service = Service::start(POLICY);
    let mut vm = service.vm("vm");
    vm.connection.ask(ServiceRequest::Host);
    let reply = std::iter::from_fn(|| vm.connection.next(Duration::from_secs(5)))
        .find(|reply| matches!(reply, ServiceReply::Error(_)));
    assert!(matches!(reply, Some(ServiceReply::Error(refusal)) if refusal.kind == RefusalKind::Malformed));
}

#[test]
fn requests_that_come_together_are_all_answered_in_their_order() {
    let service = Service::start(POLICY);
    service.host();
    let mut connection = service.connect();
    let line = |request| encode_service_request(request).unwrap();
    let list = || ServiceRequest::List { after: None };
    let lines = [line(ServiceRequest::Host), line(list()), line(ServiceRequest::Host), line(list())].concat();
    connection.send(&lines);
    for n in 0..4 {
        let reply = connection.next(Duration::from_secs(5));
        let is_right = if n % 2 == 0 {
            matches!(reply, Some(ServiceReply::Host(_)))
        } else {
            matches!(reply, Some(ServiceReply::Vms(_)))
        };
        assert!(is_right, "{n}: {reply:?}");
    }
}

/// Five kinds of neighbours at once, and an honest VM that must not notice.
#[test]
fn hostile_clients_are_contained_and_nobody_else_waits() {
    let service = Service::start(POLICY);
    let mut honest = service.vm("honest");
    honest.wait_for(SETTLED, |lease| lease.lease_bytes == 96 * MIB);
    let mut liar = service.vm("liar");
    let (mut half, mut long, mut flood) = (service.connect(), service.connect(), service.vm("flood"));
    half.send(b"{\"version\":1,");
    let mut silent_reader = service.connect();

    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut flood_ended = false;
    let mut rejected = 0;
    while began.elapsed() < Duration::from_secs(8) {
        // Each of these may find its connection closed by now.
        let _ = long.stream().write_all(&[b' '; 512]);
        flood_ended |= (0..50).any(|_| flood.try_report(holding(0)).is_err());
        silent_reader.try_ask(ServiceRequest::List { after: None });
        liar.report(holding(1 << 40));
        // It wants more than there is.
        rejected += 100_000;
        honest.report(Counts { puts_rejected_over_limit: rejected, ..holding(20) });
        let asked = Instant::now();
        assert_eq!(service.host().state, "high");
        slowest = slowest.max(asked.elapsed());
        honest.hear(Duration::from_millis(50));
    }
    assert!(flood_ended, "a flood is let through");
    assert!(half.next(Duration::from_secs(1)).is_none(), "half a message is waited for");
    assert!(long.stream().write_all(b" ").is_err(), "a line without end is read on");
    assert!(slowest < Duration::from_secs(1), "an honest caller waited {slowest:?}");
    let host = service.host();
    assert!(host.used_bytes < 200 * MIB, "the liar is believed: {} MiB", host.used_bytes / MIB);
    let honest = service.list().into_iter().find(|vm| vm.name.as_str() == "honest").unwrap();
    assert!(honest.lease_bytes >= 40 * MIB, "the honest one has {} MiB left", honest.lease_bytes / MIB);
    for kind in ["it floods", "a line is too long", "in the middle of a line", "it is not believed"] {
        assert_eq!(service.logged(kind), 1, "{kind} in\n{}", service.log());
    }
}

#[test]
fn a_changed_policy_is_put_in_force_and_a_broken_one_is_not() {
    let service = Service::start(POLICY);
    let mut vm = service.vm("vm");
    vm.wait_for(SETTLED, |lease| lease.lease_bytes == 96 * MIB);
    service.write_policy(&POLICY.replace("96MiB", "48MiB"));
    vm.wait_for(SETTLED, |lease| lease.lease_bytes == 48 * MIB);
    let host = service.host();
    assert_eq!((host.policy_generation, host.policy_error), (2, None));
    // Broken again and again, in the same way: said once.
    for _ in 0..5 {
        service.write_policy("pool.size_max = 5");
        thread::sleep(Duration::from_millis(250));
    }
    let host = service.host();
    assert_eq!(host.policy_generation, 2);
    let error = host.policy_error.unwrap();
    assert!(error.contains("pool.size_max") && error.contains("has no unit"), "{error}");
    assert_eq!(service.logged("the last good one stays"), 1, "{}", service.log());
    vm.hear(Duration::from_millis(300));
    assert_eq!(vm.lease.lease_bytes, 48 * MIB);
    service.write_policy(&POLICY.replace("96MiB", "64MiB"));
    vm.wait_for(SETTLED, |lease| lease.lease_bytes == 64 * MIB);
    assert_eq!(service.host().policy_error, None);
}

#[test]
fn a_policy_is_applied_as_a_whole_or_not_at_all() {
    let service = Service::start(POLICY);
    let mut vm = service.vm("vm");
    vm.wait_for(SETTLED, |lease| lease.lease_bytes == 96 * MIB);
    let new = service.folder().join("other.toml");
    std::fs::write(&new, POLICY.replace("96MiB", "32MiB")).unwrap();
    let differs = service.tmem(&["policy", "diff", new.to_str().unwrap()]).unwrap();
    assert!(differs.lines().any(|line| line.starts_with("pool.size_max") && line.ends_with("\"32MiB\"")), "{differs}");
    let said = service.tmem(&["policy", "apply", new.to_str().unwrap()]).unwrap();
    assert_eq!(said, "in force: generation 2\n");
    vm.wait_for(SETTLED, |lease| lease.lease_bytes == 32 * MIB);
    std::fs::write(&new, "interval = 5").unwrap();
    let refused = service.tmem(&["policy", "apply", new.to_str().unwrap()]).unwrap_err();
    assert!(refused.contains("has no unit"), "{refused}");
    let unservable = "class.default.tmem = { reservation = \"90%\", limit = \"64MiB\" }\n\
                      pool = { size_max = \"1MiB\", size_min = \"1MiB\" }\nhost.claim = false";
    std::fs::write(&new, unservable).unwrap();
    let refused = service.tmem(&["policy", "apply", new.to_str().unwrap()]).unwrap_err();
    assert!(refused.contains("would not have their reservation: vm"), "{refused}");
    thread::sleep(Duration::from_millis(500));
    let host = service.host();
    assert_eq!((host.policy_generation, host.policy_error), (2, None), "the old one is back in its place");
}

#[test]
fn of_a_folder_policy_toml_is_applied_and_judged_together_with_its_parts() {
    let main = "[[vm]]\nmatch.uid = 0\nclass = \"gold\"\n";
    let files = [("policy.toml", POLICY), ("policy.d/classes.toml", "[class.gold]\nweight = 400\n")];
    let service = Service::start_on_folder(&files);
    service.host();
    let new = service.folder().join("other");
    let place = service.folder().join("policy.toml");
    std::fs::write(&new, format!("{POLICY}{main}")).unwrap();
    let said = service.tmem(&["policy", "apply", new.to_str().unwrap()]).unwrap();
    assert_eq!(said, "in force: generation 2\n");
    let in_place = std::fs::read_to_string(&place).unwrap();
    // No part has such a class.
    std::fs::write(&new, main.replace("gold", "lead")).unwrap();
    let refused = service.tmem(&["policy", "apply", new.to_str().unwrap()]).unwrap_err();
    assert!(refused.contains("lead"), "{refused}");
    assert_eq!(std::fs::read_to_string(&place).unwrap(), in_place);
    thread::sleep(Duration::from_millis(300));
    let host = service.host();
    assert_eq!((host.policy_generation, host.policy_error), (2, None), "the service never saw it");
}

#[test]
fn metrics_say_what_the_list_says() {
    let service = Service::start(POLICY);
    let mut vm = service.vm("web");
    vm.wait_for(SETTLED, |lease| lease.lease_bytes == 96 * MIB);
    vm.report(Counts { puts_accepted: 77, gets_hit: 5, ..holding(20) });
    let began = Instant::now();
    while service.list()[0].counts.puts_accepted != 77 {
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    let answer = service.scrape("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    for line in [
        "tmem_host_state{state=\"high\"} 1.0",
        "tmem_host_state{state=\"low\"} 0.0",
        "tmem_vm_lease_bytes{vm=\"web\"} 100663296.0",
        "tmem_vm_used_bytes{vm=\"web\"} 20971520.0",
        "tmem_vm_puts_total{vm=\"web\",result=\"stored\"} 77",
        "tmem_vm_gets_total{vm=\"web\",result=\"hit\"} 5",
        "tmem_decision_overdue 0.0",
        "tmem_policy_error 0.0",
        "tmem_vms 1.0",
        "# UNIT tmem_pool_size_bytes bytes",
    ] {
        assert!(body.lines().any(|found| found == line), "no {line} in\n{body}");
    }
    let policy = format!("sha256=\"{}\"", service.host().policy_sha256);
    assert!(body.lines().any(|line| line.starts_with("tmem_policy_info{") && line.contains(&policy)), "{body}");
    assert!(service.scrape("GET /other HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(service.scrape(&format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(9000))).starts_with("HTTP/1.1 431"));
}

#[test]
fn decisions_are_logged_with_their_inputs() {
    let service = Service::start(POLICY);
    let mut vm = service.vm("vm");
    vm.wait_for(SETTLED, |lease| lease.lease_bytes == 96 * MIB);
    let text = std::fs::read_to_string(service.folder().join("decisions")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let granted = lines.iter().find(|line| line.pointer("/decision/vms/0/lease/bytes") == Some(&(96 * MIB).into()));
    let granted = granted.unwrap();
    assert_eq!(granted["observation"]["vms"][0]["identity"]["name"], "vm");
    assert!(granted.pointer("/observation/host/available_bytes").unwrap().as_u64().unwrap() > 0);
    assert_eq!(granted["sha256"], service.host().policy_sha256);
}

#[test]
fn one_socket_has_one_service_and_what_is_no_socket_is_left_alone() {
    let service = Service::start(POLICY);
    let second = service.second();
    assert!(second.contains("another service listens on"), "{second}");
    assert_eq!(service.host().vms, 0, "the first goes on");
    let file = service.folder().join("file");
    std::fs::write(&file, "precious").unwrap();
    let other = service.on(&file);
    assert!(other.contains("is no socket, and is left alone"), "{other}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
}

/// The must-show of the service: a thousand VMs, over the real socket.
#[test]
fn a_thousand_vms_cost_little_cpu_and_memory() {
    let service = Service::start(&POLICY.replace("100ms", "1s"));
    let mut vms: Vec<FakeVm> = (0..1000).map(|n| service.vm(&format!("vm{n:04}"))).collect();
    let intervals = 5;
    let (mut before, mut decisions) = (None, 0);
    for n in 0..intervals + 4 {
        for vm in &mut vms {
            vm.report(Counts { gets_hit: n * 100, puts_rejected_over_limit: n * 10, ..holding(0) });
        }
        thread::sleep(Duration::from_secs(1));
        if n == 3 {
            before = Some(service.cpu());
            decisions = service.host().decisions;
        }
    }
    let spent = service.cpu() - before.unwrap();
    let decided = u32::try_from(service.host().decisions - decisions).unwrap();
    let each = spent / decided;
    let resident = service.resident_bytes();
    println!("{each:?} of CPU an interval with 1000 VMs and their reports, {} MiB resident", resident / MIB);
    assert!(decided >= 4, "{decided} decisions");
    assert!(resident < 64 * MIB, "{} MiB", resident / MIB);
    // A build without optimisations takes several times as long.
    let most = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 20 });
    assert!(each < most, "{each:?} of CPU an interval");
    assert_eq!(service.list().len(), 1000);
    let explained = service.explain("vm0500");
    assert_eq!(explained.pointer("/vms"), Some(&1000.into()));
}

#[test]
fn recorded_vms_are_replayed_on_the_host_of_the_services_own_decision_log() {
    let service = Service::start(POLICY);
    let mut vm = service.vm("a");
    vm.wait_for(SETTLED, |lease| lease.lease_bytes > 0);
    record(service.folder());
    let output = Command::new(env!("CARGO_BIN_EXE_tmem"))
        .current_dir(service.folder())
        .args(["policy", "replay", "--policy", "policy.toml", "--decisions", "decisions", "--json", "a=a.trace"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    for run in outcome["algorithms"].as_array().unwrap() {
        assert_eq!(run["vms"][0]["puts"]["stored"], json!(PAGES), "{run}");
        assert_eq!(run["vms"][0]["intervals_off_entitlement"], json!(0));
    }
}
