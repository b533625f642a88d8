//! Traces and logs that are broken, or made to do harm: each is an error that names its place, and nothing goes on for ever.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test cannot set up fails it")]

mod recorded;

use std::error::Error as _;
use std::fs;
use std::time::{Duration, Instant};

use replay::{BadLine, DecisionLog, Error, Host, LogError, Plan};
use tmem::PoolKind::Persistent;
use trace::{Malformed, ReadError};

use recorded::{Folder, MIB, POLICY, Service, TOTAL_BYTES, name, policy, respace};

const POOL: Host = Host::Constant { pool_bytes: 4 * MIB };

/// A log of a VM named `vm`.
fn log() -> String {
    let mut service = Service::new();
    service.register("vm", 1);
    service.decide(0, TOTAL_BYTES / 2);
    service.decide(10, TOTAL_BYTES / 2);
    String::from_utf8(service.log).unwrap()
}

fn read(folder: &Folder, text: &str) -> Result<DecisionLog, LogError> {
    let path = folder.path("log");
    fs::write(&path, text).unwrap();
    DecisionLog::read(&[path])
}

/// The line, and what is wrong with it.
fn bad_line(text: &str) -> (u64, BadLine) {
    match read(&Folder::new(), text) {
        Err(LogError::Line { line, problem, .. }) => (line, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trace_that_is_cut_short_is_told_with_file_and_byte_before_anything_is_played() {
    let folder = Folder::new();
    let (vm, path) = folder.record("vm", Persistent, 50, 1000);
    let bytes = fs::read(&path).unwrap();
    for len in [0, 20, 200, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        let error = Plan::new(policy(POLICY), POOL, vec![(vm.clone(), path.clone())]).unwrap_err();
        assert_eq!(error.to_string(), format!("{}, the trace of vm", path.display()));
        let Error::Trace { source: ReadError::Malformed { offset, problem }, .. } = error else { panic!("{error:?}") };
        assert_eq!(problem, Malformed::CutShort);
        assert!(offset <= len as u64);
    }
    fs::write(&path, "no trace at all, whatever its name says").unwrap();
    let error = Plan::new(policy(POLICY), POOL, vec![(vm, path)]).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("this is no trace"), "{error:?}");
}

#[test]
fn a_trace_that_is_cut_while_it_is_played_is_told_too() {
    let folder = Folder::new();
    let (vm, path) = folder.record("vm", Persistent, 50, 1000);
    let plan = Plan::new(policy(POLICY), POOL, vec![(vm, path.clone())]).unwrap();
    fs::write(&path, &fs::read(&path).unwrap()[..100]).unwrap();
    let error = plan.play(policy::schema::Algorithm::Demand, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Trace { .. }), "{error:?}");
}

#[test]
fn a_vm_has_one_trace() {
    let folder = Folder::new();
    let trace = folder.record("vm", Persistent, 5, 1000);
    let error = Plan::new(policy(POLICY), POOL, vec![trace.clone(), trace]).unwrap_err();
    assert_eq!(error.to_string(), "vm has two traces; a VM has one");
}

#[test]
fn a_vm_that_the_log_does_not_know_is_told_with_those_it_knows() {
    let folder = Folder::new();
    let (_, path) = folder.record("vm", Persistent, 5, 1000);
    let host = Host::Logged(read(&folder, &log()).unwrap());
    let error = Plan::new(policy(POLICY), host, vec![(name("web"), path)]).unwrap_err();
    assert_eq!(error.to_string(), "the decision log has no VM named web; it has vm");
}

#[test]
fn a_line_that_is_no_decision_is_told_with_its_number_and_column() {
    let log = log();
    let first = log.lines().next().unwrap();
    let missing = "missing field `observation`";
    let table = [
        (format!("{log}{{\"unix_ms\":1}}\n"), 3, missing, 13),
        (format!("{first}\n\n"), 2, "EOF while parsing a value", 0),
        (format!("{first}\n{}", &first[..100]), 2, "EOF while parsing", 100),
        (first.replacen("\"total_bytes\":", "\"total_bytes\":-", 1), 1, "invalid value: integer `-68719476736`", 0),
    ];
    for (text, line, fragment, column) in table {
        let (found, problem) = bad_line(&text);
        let BadLine::Form { what, column: at } = problem else { panic!("{problem:?}") };
        assert_eq!(found, line, "{what}");
        assert!(what.contains(fragment) && !what.contains("line"), "{what:?}");
        assert!(column == 0 || at == column, "{what}: column {at}");
    }
}

#[test]
fn a_log_whose_time_goes_backwards_is_refused() {
    let log = log();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(bad_line(&format!("{}\n{}\n", lines[1], lines[0])), (2, BadLine::Backwards(10_000)));
    assert!(read(&Folder::new(), &format!("{}\n{}\n", lines[0], lines[0])).is_ok(), "the same time is none backwards");
}

#[test]
fn names_and_weights_of_a_log_are_checked() {
    let log = log();
    let (_, problem) = bad_line(&log.replace("\"name\":\"vm\"", "\"name\":\"\\u001b[2J\""));
    assert!(matches!(problem, BadLine::Name { .. }), "{problem:?}");
    assert!(!problem.to_string().contains('\u{1b}'));
    assert_eq!(bad_line(&log.replace("\"weight\":null", "\"weight\":0")), (1, BadLine::Weight(0)));
}

#[test]
fn a_log_without_a_line_and_one_that_is_not_there_are_told() {
    assert!(matches!(read(&Folder::new(), ""), Err(LogError::Empty)));
    let error = DecisionLog::read(&["/no/such/log".into()]).unwrap_err();
    assert_eq!(error.to_string(), "the decision log /no/such/log cannot be read");
}

#[test]
fn a_line_without_an_end_is_not_read_without_an_end() {
    let text = " ".repeat(usize::try_from(replay::LINE_MAX_BYTES).unwrap() + 10);
    assert_eq!(bad_line(&text), (1, BadLine::TooLong));
}

#[test]
fn a_trace_of_centuries_is_refused_and_not_played() {
    let folder = Folder::new();
    let (vm, path) = folder.record("vm", Persistent, 5, 1000);
    let began = Instant::now();
    for at_us in [1_000_000 * replay::INTERVALS_MAX, u64::MAX] {
        respace(&path, |n, was| if n < 8 { was } else { at_us });
        let error = Plan::new(policy(POLICY), POOL, vec![(vm.clone(), path.clone())]).unwrap_err();
        assert!(matches!(error, Error::TooLong { .. }), "{error:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_log_of_centuries_is_refused_and_not_played() {
    let folder = Folder::new();
    let traces = vec![folder.record("vm", Persistent, 5, 1000), folder.record("web", Persistent, 5, 1000)];
    let other = log().replace("\"vm\"", "\"web\"").replace("\"unix_ms\":1", "\"unix_ms\":9");
    let host = Host::Logged(read(&folder, &(log() + &other)).unwrap());
    let error = Plan::new(policy(POLICY), host, traces).unwrap_err();
    assert!(error.to_string().contains("web.trace, the trace of web, goes on for more than 1000000"), "{error}");
}

#[test]
fn numbers_at_the_end_of_their_range_do_no_harm() {
    let folder = Folder::new();
    let traces = vec![folder.record("vm", Persistent, 50, 100_000)];
    let most = u64::MAX.to_string();
    let mut text = log();
    for field in ["total_bytes", "available_bytes", "memory_bytes", "used_bytes", "limit_bytes"] {
        let from = text.find(&format!("\"{field}\":")).unwrap() + field.len() + 3;
        let len = text[from..].find(|c: char| !c.is_ascii_digit()).unwrap();
        text.replace_range(from..from + len, &most);
    }
    let host = Host::Logged(read(&folder, &text).unwrap());
    let plan = Plan::new(policy(POLICY), host, traces).unwrap();
    let outcome = plan.play(policy::schema::Algorithm::Weighted, &mut |_| {}).unwrap();
    assert_eq!(outcome[0].answers.puts(), 50);
}
