//! `tmem policy replay` as its user runs it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows it in tests, but does not see that a function here serves them"
)]

mod recorded;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use recorded::{PAGES, record};

/// A folder with the traces, and with a policy for a pool as small as theirs.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path());
    fs::write(folder.path().join("policy.toml"), "share.min_change = \"64KiB\"\n").unwrap();
    folder
}

fn replay(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tmem"));
    command.current_dir(folder).args(["policy", "replay"]).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let folder = folder();
    for more in [&[][..], &["--json"]] {
        let args = [&["--policy", "policy.toml", "--pool", "1MiB", "a=a.trace", "b=b.trace"], more].concat();
        let first = replay(folder.path(), &args);
        assert!(first.status.success() && first.stderr.is_empty(), "{}", text(&first.stderr));
        assert_eq!(text(&first.stdout), text(&replay(folder.path(), &args).stdout));
    }
}

#[test]
fn there_is_a_row_for_each_vm_as_recorded_and_under_each_algorithm() {
    let folder = folder();
    let output = replay(folder.path(), &["--policy", "policy.toml", "--pool", "1MiB", "b=b.trace", "a=a.trace"]);
    let lines: Vec<Vec<&str>> = text(&output.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
    let head = "ALGORITHM VM PUTS STORED NO_SPACE OVER_LIMIT FROZEN POOR_RATIO BUSY BAD_POOL BAD_ADDRESS GETS HIT MISS \
                EVICTED INTERVALS OFF";
    assert_eq!(lines[0].join(" "), head);
    let rows: Vec<String> = lines[1..].iter().map(|line| line[..3].join(" ")).collect();
    let wanted = ["recorded", "greedy", "static", "weighted", "demand"];
    let wanted: Vec<_> =
        wanted.iter().flat_map(|algorithm| ["a", "b"].map(|vm| format!("{algorithm} {vm} 300"))).collect();
    assert_eq!(rows, wanted);
    assert_eq!(lines[1].join(" "), "recorded a 300 300 0 0 0 0 0 0 0 300 300 0 - - -");
    let number = |line: &[&str], column: usize| line[column].parse::<u32>().unwrap();
    for line in &lines[3..] {
        let (stored, rejected) = (number(line, 3), number(line, 5));
        assert!(stored > 50 && rejected > 50, "half a MiB is less than 300 pages: {line:?}");
        assert_eq!(stored + rejected, PAGES);
        assert_eq!(number(line, 12) + number(line, 13), PAGES);
    }
}

#[test]
fn programs_get_a_field_for_each_result() {
    let folder = folder();
    let output = replay(folder.path(), &["--pool", "64MiB", "--algorithm", "static,demand", "--json", "a=a.trace"]);
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&Value> = outcome["algorithms"].as_array().unwrap().iter().map(|run| &run["algorithm"]).collect();
    assert_eq!(names, ["static", "demand"]);
    let puts = json!({ "stored": 300, "no_space": 0, "over_limit": 0, "frozen": 0, "poor_ratio": 0, "busy": 0,
                       "bad_pool": 0, "bad_address": 0 });
    let gets = json!({ "hit": 300, "miss": 0, "empty": 0, "bad_pool": 0, "bad_address": 0 });
    let vm = &outcome["algorithms"][1]["vms"][0];
    assert_eq!((&vm["vm"], &vm["puts"], &vm["gets"]), (&json!("a"), &puts, &gets));
    assert_eq!((&vm["pages_evicted"], &vm["intervals_off_entitlement"]), (&json!(0), &json!(0)));
    let recorded = &outcome["recorded"][0];
    assert_eq!((&recorded["puts"], &recorded["gets"], &recorded["lost"]), (&puts, &gets, &json!(0)));
    assert_eq!((&recorded["trace"], &recorded["operations"]), (&json!("a.trace"), &json!(601)));
}

#[test]
fn what_is_broken_is_told_with_its_place() {
    let folder = folder();
    let whole = fs::read(folder.path().join("a.trace")).unwrap();
    fs::write(folder.path().join("cut.trace"), &whole[..1000]).unwrap();
    fs::write(folder.path().join("decisions"), "{\"unix_ms\": 1, \"observation\": 2}\n").unwrap();
    fs::write(folder.path().join("bad.toml"), "interval = \"5 s\"\n").unwrap();
    let table: [(&[&str], &str); 6] = [
        (&["--pool", "1MiB", "a=cut.trace"], "tmem: cut.trace, the trace of a: byte 9"),
        (
            &["--pool", "1MiB", "a=no.trace"],
            "tmem: no.trace, the trace of a: byte 0: the trace cannot be read: No such",
        ),
        (&["--pool", "1MiB", "a=a.trace", "a=b.trace"], "tmem: a has two traces; a VM has one"),
        (
            &["--decisions", "decisions", "a=a.trace"],
            "tmem: decisions, line 1: this is no logged decision: invalid type",
        ),
        (&["--decisions", "no", "a=a.trace"], "tmem: the decision log no cannot be read: No such file"),
        (&["--policy", "bad.toml", "--pool", "1MiB", "a=a.trace"], "tmem: bad.toml is no valid policy: bad.toml:1"),
    ];
    for (args, begin) in table {
        let output = replay(folder.path(), args);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{said}");
        assert!(said.starts_with(begin), "{args:?}: {said}");
    }
}
