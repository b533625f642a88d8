//! The commands about policies.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use anyhow::Result;
use policy::{ByteSize, Reading, Remark, Sources};
use serde_json::{Value, json};

use crate::args::{PolicyArgs, PolicyCommand};
use crate::{apply, explain, replay, screen};

/// Carries out a command about a policy.
pub fn carry_out(command: &PolicyCommand) -> Result<ExitCode> {
    match command {
        PolicyCommand::Check(args) => check(args),
        PolicyCommand::Show(args) => show(args),
        PolicyCommand::Schema => {
            screen::print(policy::JSON_SCHEMA)?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Diff { first, second, service, json } => {
            apply::diff(first, second.as_deref(), &service.socket, *json)?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Apply { file, service } => {
            apply::apply(file, &service.socket)?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Explain { vm, service, json } => {
            explain::explain(&service.socket, vm, *json)?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Replay(args) => {
            replay::replay(args)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(args: &PolicyArgs) -> Result<ExitCode> {
    let files = policy::load(&args.path)?;
    let count = files.len();
    let reading = policy::read(files, memory_bytes(args));
    if args.json {
        screen::print(&format!("{:#}\n", verdict(&reading)))?;
    } else {
        tell_remarks(&reading);
        screen::print(&format!("{}: {}\n", args.path.display(), in_words(&reading, count)))?;
    }
    Ok(if reading.policy.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(args: &PolicyArgs) -> Result<ExitCode> {
    let reading = policy::read(policy::load(&args.path)?, memory_bytes(args));
    tell_remarks(&reading);
    let Ok(policy) = &reading.policy else { return Ok(ExitCode::FAILURE) };
    screen::print(&if args.json { format!("{:#}\n", serde_json::to_value(policy)?) } else { policy.to_toml()? })?;
    Ok(ExitCode::SUCCESS)
}

/// MemTotal of the host that the policy is for.
fn memory_bytes(args: &PolicyArgs) -> u64 {
    args.memory.map_or_else(observe::memory_bytes, |ByteSize(bytes)| bytes)
}

fn in_words(reading: &Reading, files: usize) -> String {
    let files = counted(files, "file");
    match &reading.policy {
        Err(mistakes) => format!("no valid policy; {} in {files}", counted(mistakes.len(), "mistake")),
        Ok(_) if reading.warnings.is_empty() => format!("a valid policy of {files}"),
        Ok(_) => format!("a valid policy of {files}, with {}", counted(reading.warnings.len(), "warning")),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Each mistake and warning with the line it is about, to standard error.
fn tell_remarks(reading: &Reading) {
    let mistakes = reading.policy.as_ref().err().into_iter().flatten();
    let told = mistakes
        .map(|mistake| drawn(mistake, Level::ERROR, &reading.sources))
        .chain(reading.warnings.iter().map(|warning| drawn(warning, Level::WARNING, &reading.sources)));
    for text in told {
        // That nobody reads standard error is no reason to fail.
        let _ = writeln!(io::stderr(), "{text}\n");
    }
}

/// The message, and the line with a mark below what it is about. The renderer spells out what could drive a terminal.
fn drawn<W: Display>(remark: &Remark<W>, level: Level<'static>, sources: &Sources) -> String {
    let path = remark.place.path.display().to_string();
    let key = remark.place.key.as_ref().map(|key| format!("`{key}`: ")).unwrap_or_default();
    let title = level.primary_title(format!("{key}{}", remark.what));
    let text = sources.text(&remark.place.path).unwrap_or_default();
    let mark = AnnotationKind::Primary.span(remark.place.bytes.clone());
    let group: Group<'_> = title.element(Snippet::source(text).path(path).annotation(mark));
    Renderer::plain().render(&[group])
}

fn verdict(reading: &Reading) -> Value {
    let mistakes: Vec<Value> = reading.policy.as_ref().err().into_iter().flatten().map(as_json).collect();
    let warnings: Vec<Value> = reading.warnings.iter().map(as_json).collect();
    json!({ "valid": reading.policy.is_ok(), "mistakes": mistakes, "warnings": warnings })
}

fn as_json<W: Display>(remark: &Remark<W>) -> Value {
    let place = &remark.place;
    json!({
        "file": place.path,
        "line": place.line,
        "column": place.column,
        "key": place.key,
        "message": remark.what.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use policy::Source;

    use super::*;

    fn reading(text: &str) -> Reading {
        policy::read(vec![Source { path: "p.toml".into(), text: text.to_owned() }], 1 << 36)
    }

    #[test]
    fn a_mistake_is_drawn_below_its_line() {
        let reading = reading("[host]\nreserve = 5 # five\n");
        let mistakes = reading.policy.as_ref().unwrap_err();
        let wanted = "\
error: `host.reserve`: \"5\" has no unit; write 5KiB, 5MiB or 5GiB
 --> p.toml:2:11
  |
2 | reserve = 5 # five
  |           ^";
        assert_eq!(drawn(&mistakes[0], Level::ERROR, &reading.sources), wanted);
        assert_eq!(in_words(&reading, 2), "no valid policy; 1 mistake in 2 files");
    }

    #[test]
    fn a_policys_text_cannot_drive_the_terminal() {
        let reading = reading("\"\u{1b}[2J\" = \"\u{1b}[2J\"\n# \u{9b}");
        for mistake in reading.policy.as_ref().unwrap_err() {
            let drawn = drawn(mistake, Level::ERROR, &reading.sources);
            assert!(!drawn.chars().any(|c| c.is_control() && c != '\n'), "{drawn:?}");
        }
    }

    #[test]
    fn programs_get_the_place_in_parts() {
        let found = verdict(&reading("mode = \"observe\"\nhost.reserve = 5"));
        let message = "\"5\" has no unit; write 5KiB, 5MiB or 5GiB";
        let mistake = json!({ "file": "p.toml", "line": 2, "column": 16, "key": "host.reserve", "message": message });
        assert_eq!(found, json!({ "valid": false, "mistakes": [mistake], "warnings": [] }));

        let found = verdict(&reading("host.overcommit_limit = \"150%\""));
        assert_eq!((&found["valid"], &found["warnings"][0]["line"]), (&json!(true), &json!(1)));
        assert_eq!(verdict(&reading("")), json!({ "valid": true, "mistakes": [], "warnings": [] }));
    }
}
