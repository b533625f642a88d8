//! What is read from a policy's files, and what is said about each kind of text that is none.

use std::fs;
use std::path::Path;

use super::*;
use crate::schema::{Algorithm, Mode};
use crate::value::{Percent, Period, Pressure, SizeOrPercent};

const HOST_BYTES: u64 = 64 << 30;

fn source(name: &str, text: &str) -> Source {
    Source { path: name.into(), text: text.to_owned() }
}

fn read_all(files: &[(&str, &str)]) -> Reading {
    read(files.iter().map(|(name, text)| source(name, text)).collect(), HOST_BYTES)
}

fn policy(text: &str) -> Policy {
    read_all(&[("p.toml", text)]).policy.unwrap()
}

fn mistakes(text: &str) -> Vec<String> {
    read_all(&[("p.toml", text)]).policy.unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_is_the_default_policy_on_a_host_of_any_size() {
    for memory_bytes in [1, 1 << 20, 1 << 30, u64::MAX] {
        let reading = read(vec![source("p.toml", "")], memory_bytes);
        assert_eq!(reading.policy.unwrap(), Policy::default());
        assert!(reading.warnings.is_empty());
    }
    assert_eq!(policy("# nothing\n"), Policy::default());
}

#[test]
fn a_key_that_is_written_changes_nothing_else() {
    let policy = policy("mode = \"observe\"\n[host]\npsi.hard.for = \"3s\"\nwatermarks = { low = \"1GiB\" }\n");
    let mut wanted = Policy { mode: Mode::Observe, ..Policy::default() };
    wanted.host.psi.hard.r#for = Period::from_ms(3000);
    wanted.host.watermarks.low = SizeOrPercent::Bytes(1 << 30);
    assert_eq!(policy, wanted);
    assert_eq!(policy.host.psi.hard.full_avg10, Some(Pressure::from_basis_points(500)), "beside a key that is written");
}

#[test]
fn a_later_file_wins_key_by_key() {
    let reading = read_all(&[
        ("policy.toml", "[share]\nalgorithm = \"static\"\nidle_tax = \"50%\"\n[class.gold]\nweight = 400"),
        ("policy.d/10.toml", "share.algorithm = \"greedy\"\n[class.gold]\ntmem.reservation = \"1GiB\""),
        ("policy.d/20.toml", "share.algorithm = \"weighted\""),
    ]);
    let policy = reading.policy.unwrap();
    assert_eq!((policy.share.algorithm, policy.share.idle_tax), (Algorithm::Weighted, Percent::whole(50)));
    let gold = &policy.class["gold"];
    assert_eq!((gold.weight, gold.tmem.reservation), (400, SizeOrPercent::Bytes(1 << 30)));
}

#[test]
fn rules_of_a_later_file_come_first() {
    let rule = |name| format!("[[vm]]\nmatch = {{ uid = 0, name = \"{name}\" }}\nclass = \"default\"\n");
    let first = format!("{}{}", rule("a"), rule("b"));
    let reading = read_all(&[("policy.toml", &first), ("policy.d/c.toml", &rule("c"))]);
    let names = reading.policy.unwrap().vm.into_iter().map(|rule| rule.matching.name.unwrap().to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["c", "a", "b"]);
}

#[test]
fn a_class_has_what_it_leaves_away_from_class_default() {
    let policy = policy("[class.default]\nweight = 50\n[class.gold]\ntmem.reservation = \"1GiB\"\n");
    let (default, gold) = (policy.default_class(), &policy.class["gold"]);
    assert_eq!((default.weight, gold.weight), (50, 50));
    assert_eq!(default.tmem.reservation, SizeOrPercent::Bytes(0));
    assert_eq!(gold.tmem.limit, default.tmem.limit);
}

#[test]
fn a_mistake_names_file_line_column_and_key() {
    let reading = read_all(&[("a.toml", "mode = \"observe\"\n"), ("b.toml", "\n[host]\n  reserve = 5\n")]);
    let mistakes = reading.policy.unwrap_err();
    assert_eq!(mistakes[0].to_string(), "b.toml:3:13: `host.reserve`: \"5\" has no unit; write 5KiB, 5MiB or 5GiB");
    assert_eq!(mistakes[0].place.bytes, 20..21);
    assert_eq!(reading.sources.text(Path::new("b.toml")), Some("\n[host]\n  reserve = 5\n"));
}

#[test]
fn values_without_their_unit_or_form_are_told_what_would_be_right() {
    let table = [
        ("interval = 5", "`interval`: \"5\" has no unit; write 5s or 5ms"),
        ("interval = 1.5", "\".5\" in \"1.5\" is no unit of time; write ms or s"),
        ("interval = \"1min\"", "\"min\" in \"1min\" is no unit of time"),
        ("interval = true", "`interval`: invalid type: boolean `true`, expected a length of time in quotes"),
        ("host.reserve = \"512MB\"", "`host.reserve`: \"MB\" in \"512MB\" is no unit; write KiB, MiB, GiB or TiB"),
        ("host.reserve = \"512\"", "\"512\" has no unit"),
        ("host.reserve = \"1.5GiB\"", "\".5GiB\" in \"1.5GiB\" is no unit"),
        ("host.overcommit_limit = \"2GiB\"", "`host.overcommit_limit`: \"2GiB\" is no percentage"),
        ("share.idle_tax = 75", "`share.idle_tax`: \"75\" is no percentage"),
        ("share.min_change = \"4%\"", "`share.min_change`: \"4%\" is a percentage, but here only a size"),
        (
            "share.algorithm = \"fair\"",
            "unknown variant `fair`, expected one of `greedy`, `static`, `weighted`, `demand`",
        ),
        ("host.psi.soft.some_avg10 = nan", "`host.psi.soft.some_avg10`: NaN is no pressure"),
        ("compression.reject_above = \"on\"", "`compression.reject_above`: \"on\" is no percentage"),
        ("compression.accept = \"all\"", "unknown variant `all`, expected `any` or `better-than-mean`"),
        ("pool.accept_threshold = 90", "`pool.accept_threshold`: \"90\" is no percentage"),
        ("class.gold.weight = -1", "`class.gold.weight`: invalid value: integer `-1`, expected u32"),
        ("class.\"go ld\".weight = 1", "`class.go ld`: \"go ld\" is no name of a class; write 1 to 64 of A-Z"),
        ("host = 5", "`host`: invalid type: integer `5`, expected the table [host]"),
        ("class = 5", "`class`: invalid type: integer `5`"),
        ("vm = 5", "`vm`: invalid type: integer `5`"),
        ("[[vm]]\nmatch.name = \"a\"", "`vm`: missing field `class`"),
        ("[[vm]]\nclass = \"default\"\nmatch.name = \"\"", "`vm.match.name`: an empty pattern matches nothing"),
        ("[[vm]]\nclass = \"default\"\nmatch.uid = -1", "`vm.match.uid`: invalid value: integer `-1`"),
    ];
    for (text, fragment) in table {
        let mistakes = mistakes(text);
        assert_eq!(mistakes.len(), 1, "{text} gave {mistakes:?}");
        assert!(mistakes[0].contains(fragment), "{text} gave {mistakes:?}, which lacks {fragment:?}");
    }
}

#[test]
fn an_unknown_key_or_table_is_an_error_that_names_what_there_is() {
    let table = [
        ("intervall = \"1s\"", "p.toml:1:1: `intervall`: unknown field `intervall`, expected one of `version`"),
        ("[hosts]\n", "p.toml:1:2: `hosts`: unknown field `hosts`"),
        (
            "[host]\nreserved = \"1%\"",
            "p.toml:2:1: `host.reserved`: unknown field `reserved`, expected one of `reserve`",
        ),
        ("[class.gold]\nwieght = 1", "p.toml:2:1: `class.gold.wieght`: unknown field `wieght`"),
        ("[[vm]]\nclass = \"default\"\nmatch = { host = \"a\" }", "p.toml:3:11: `vm.match.host`: unknown field `host`"),
    ];
    for (text, start) in table {
        let mistakes = mistakes(text);
        assert_eq!(mistakes.len(), 1, "{text} gave {mistakes:?}");
        assert!(mistakes[0].starts_with(start), "{text} gave {mistakes:?}");
    }
}

#[test]
fn keys_and_values_of_later_versions_are_refused_by_name() {
    let table = [
        ("[balloon]\nmode = \"auto\"", "p.toml:1:2: `balloon`: is not in this version; leave it away"),
        ("[[tier]]\nname = \"a\"\n[[tier]]\nname = \"b\"", "`tier`: is not in this version"),
        ("[slo]\nfor = \"10s\"", "`slo`: is not in this version"),
        ("dedup.scope = \"domain\"", "`dedup.scope`: \"domain\" is not in this version"),
        ("dedup.verify = true", "`dedup.verify`: is not in this version"),
        ("pool.persistent.on_full = \"spill\"", "`pool.persistent`: is not in this version"),
        ("pool.ephemeral.min = \"5%\"", "`pool.ephemeral`: is not in this version"),
        ("pool.eviction = \"s3-fifo\"", "p.toml:1:17: `pool.eviction`: \"s3-fifo\" is not in this version"),
        ("pool.eviction = \"lru\"", "`pool.eviction`: \"lru\" is not in this version"),
        ("host.require_backing = true", "`host.require_backing`: is not in this version"),
        ("class.gold.tiers = []", "p.toml:1:12: `class.gold.tiers`: is not in this version"),
        ("class.gold.slo = {}", "`class.gold.slo`: is not in this version"),
        ("class.gold.dedup = \"off\"", "`class.gold.dedup`: is not in this version"),
        ("[[vm]]\nclass = \"default\"\nmatch.uuid = \"a\"", "p.toml:3:7: `vm.match.uuid`: is not in this version"),
        ("compression.algorithm = \"none\"", "`compression.algorithm`: \"none\" is not in this version"),
        ("compression.recompress.level = 3", "`compression.recompress.level`: is not in this version"),
    ];
    for (text, fragment) in table {
        let mistakes = mistakes(text);
        assert!(mistakes[0].contains(fragment), "{text} gave {mistakes:?}, which lacks {fragment:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_their_order() {
    let reading = read_all(&[
        ("a.toml", "interval = 5\n[balloon]\n[share]\nidle_tax = 1\nshrink = 1\n"),
        ("b.toml", "[[vm]]\nclass = 7\n[[vm]]\nmatch.uid = 0\n"),
    ]);
    let mistakes = reading.policy.unwrap_err();
    let places = mistakes.iter().map(|mistake| (mistake.place.path.to_str().unwrap(), mistake.place.line));
    assert_eq!(
        places.collect::<Vec<_>>(),
        [("a.toml", 1), ("a.toml", 2), ("a.toml", 4), ("a.toml", 5), ("b.toml", 2), ("b.toml", 3)]
    );
}

#[test]
fn a_mistake_in_a_file_counts_where_a_later_file_wins() {
    let reading = read_all(&[("a.toml", "balloon.mode = \"off\""), ("b.toml", "interval = \"2s\"")]);
    assert!(reading.policy.is_err());
}

#[test]
fn there_is_a_bound_to_what_is_told_about_a_text_of_mistakes() {
    let keys = |count: usize| (0..count).map(|i| format!("k{i} = 1\n")).collect::<String>();
    assert_eq!(mistakes(&keys(3)).len(), 3);
    assert_eq!(mistakes(&keys(1000)).len(), MISTAKES_MAX);
    assert_eq!(mistakes(&"=\n".repeat(1000)).len(), MISTAKES_MAX);
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line() {
    assert!(mistakes("mode = \"observe\"\nhost = ]\n")[0].starts_with("p.toml:2:"));
    assert!(mistakes("interval = \"1s\"\ninterval = \"2s\"")[0].starts_with("p.toml:2:1: duplicate key"));
    assert!(!mistakes(&"a=".repeat(10)).is_empty());
    assert!(!mistakes(&format!("a = {}", "[".repeat(10_000))).is_empty());
}

#[test]
fn places_are_right_beside_characters_of_several_bytes() {
    assert!(mistakes("mode = \"ä\" # ü")[0].starts_with("p.toml:1:8: `mode`: unknown variant `ä`"));
    assert!(mistakes("\"ä\" = 1\nö")[0].starts_with("p.toml:2:"));
}

#[test]
fn a_printed_policy_is_read_back_as_the_same() {
    let text = "[class.gold]\nweight = 400\n[[vm]]\nmatch = { uid = 1000, label = \"a?\" }\nclass = \"gold\"\n";
    let wanted = policy(text);
    assert_eq!(policy(&wanted.to_toml().unwrap()), wanted);
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policy.d")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn names(sources: &[Source]) -> Vec<&str> {
    sources.iter().map(|source| source.path.file_name().unwrap().to_str().unwrap()).collect()
}

#[test]
fn of_a_folder_policy_toml_comes_first_and_then_the_parts_by_name() {
    let folder = folder(&[
        ("policy.d/b.toml", ""),
        ("policy.d/a.toml", ""),
        ("policy.d/.hidden.toml", "x"),
        ("policy.d/notes.txt", "x"),
        ("policy.toml", ""),
        ("other.toml", "x"),
    ]);
    assert_eq!(names(&load(folder.path()).unwrap()), ["policy.toml", "a.toml", "b.toml"]);
    assert_eq!(names(&load(&folder.path().join("policy.toml")).unwrap()), ["policy.toml"]);
}

#[test]
fn a_folder_without_a_policy_is_an_error_and_one_without_a_main_file_is_not() {
    let error = load(folder(&[]).path()).unwrap_err();
    assert!(error.to_string().ends_with("write an empty policy.toml where the defaults are meant"), "{error}");
    assert_eq!(names(&load(folder(&[("policy.d/a.toml", "")]).path()).unwrap()), ["a.toml"]);
    let alone = tempfile::tempdir().unwrap();
    fs::write(alone.path().join("policy.toml"), "").unwrap();
    assert_eq!(names(&load(alone.path()).unwrap()), ["policy.toml"]);
}

#[test]
fn a_part_that_cannot_be_read_is_never_left_out() {
    let gone = folder(&[("policy.toml", "")]);
    std::os::unix::fs::symlink("gone", gone.path().join("policy.d/a.toml")).unwrap();
    assert!(load(gone.path()).unwrap_err().to_string().ends_with("a.toml cannot be read"));

    let fifo = folder(&[("policy.toml", "")]);
    fs::create_dir(fifo.path().join("policy.d/a.toml")).unwrap();
    assert!(load(fifo.path()).unwrap_err().to_string().ends_with("a.toml is no file"));
}

#[test]
fn files_have_a_largest_size_and_number() {
    let huge = folder(&[("policy.toml", "")]);
    fs::File::create(huge.path().join("policy.toml")).unwrap().set_len(FILE_MAX_BYTES + 1).unwrap();
    assert!(matches!(load(huge.path()), Err(LoadError::TooLong(_))));

    let many = folder(&[]);
    for i in 0..=FILES_MAX {
        fs::write(many.path().join(format!("policy.d/{i}.toml")), "").unwrap();
    }
    assert!(matches!(load(many.path()), Err(LoadError::TooMany(_))));
}
