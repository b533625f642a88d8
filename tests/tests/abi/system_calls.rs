//! What a put and a get cost in system calls: one `KVM_RUN`, and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use trace::{Reader, Record};

/// Puts and gets that the traced program makes, 50 000 each.
const CALLS: u64 = 100_000;

#[test]
fn a_call_is_one_kvm_run_and_no_other_system_call() {
    calls_are_the_only_system_calls(None);
}

#[test]
fn a_call_that_is_recorded_is_so_too() {
    let directory = tempfile::tempdir().unwrap();
    let recorded = directory.path().join("vm.trace");
    calls_are_the_only_system_calls(Some(&recorded));
    let trace = Reader::new(BufReader::new(File::open(&recorded).unwrap())).unwrap();
    let operations: u64 = trace
        .map(|record| match record.unwrap() {
            Record::Operation { .. } => 1,
            Record::Lost { operations } => operations,
        })
        .sum();
    // HELLO and POOL_NEW before them.
    assert_eq!(operations, CALLS + 2);
}

fn calls_are_the_only_system_calls(recorded: Option<&Path>) {
    let directory = tempfile::tempdir().expect("a folder");
    let trace = directory.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_payload-puts"))
        .args(recorded)
        .status()
        .expect("strace, which `cargo xtask test` installs");
    assert!(status.success());

    let counts = count(&fs::read_to_string(&trace).expect("what strace wrote"));
    let runs = counts["KVM_RUN"];
    let others: u64 = counts.iter().filter(|(name, _)| name.as_str() != "KVM_RUN").map(|(_, count)| count).sum();
    // One entry a call, one that ends in the final HLT, and one for each signal, of which there is none.
    assert!((CALLS..=CALLS + 16).contains(&runs), "{runs} KVM_RUN for {CALLS} calls: {counts:?}");
    assert!(others * 1000 < CALLS, "{others} other system calls for {CALLS} calls: {counts:?}");
    println!("{CALLS} calls: {counts:?}");
}

/// System calls by name between the program's two marks, on the thread that wrote them. `KVM_RUN` counts as its own.
fn count(trace: &str) -> BTreeMap<String, u64> {
    let mark = |text: &str| trace.lines().position(|line| line.contains("write(2") && line.contains(text));
    let begin = mark("calls begin").expect("the begin mark");
    let end = mark("calls end").expect("the end mark");
    let lines: Vec<_> = trace.lines().collect();
    let thread = lines[begin].split_whitespace().next().expect("a thread id");
    let mut counts = BTreeMap::new();
    for line in &lines[begin + 1..end] {
        let Some((id, call)) = line.split_once(char::is_whitespace) else { continue };
        // A call that others came in between of is told twice.
        if id != thread || call.contains(" resumed>") {
            continue;
        }
        let call = call.trim_start();
        let name = if call.contains("KVM_RUN") { "KVM_RUN" } else { call.split('(').next().unwrap_or(call) };
        *counts.entry(name.to_owned()).or_insert(0) += 1;
    }
    counts
}
