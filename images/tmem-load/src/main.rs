//! Load generator for guests: fills memory or files, rewrites them and checks every page; or keeps what a peer on the
//! network fills it with.
//!
//! It needs little memory beside the working set, one byte a page, so that what is swapped is the load.

mod arguments;
mod files;
mod forked;
mod order;
mod pattern;
mod records;
mod region;
mod report;
mod serve;
mod working_set;

use std::{io, process::ExitCode, thread, time::Duration, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde::Serialize;

use crate::{
    arguments::{Arguments, FileArguments, Hold, MemoryArguments, Other},
    files::{FileSet, Opening, Step, Visits},
    forked::Child,
    report::{Kind, Pass, Report, Tally},
    working_set::{Load, WorkingSet},
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.other {
        None => load_memory(&arguments.memory).and_then(|report| print(&report)),
        Some(Other::Files(arguments)) => load_files(arguments).and_then(|report| print(&report)),
        Some(Other::Serve { address }) => serve::serve(*address).map(|()| 0),
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("tmem-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Prints the result and returns the number of bad pages.
fn print<K: Serialize>(report: &Report<K>) -> Result<u64> {
    println!("{}", serde_json::to_string(report)?);
    Ok(report.bad_pages)
}

fn load_files(arguments: &FileArguments) -> Result<Report<Step>> {
    let started = Instant::now();
    let FileArguments { step, files, direct, order, .. } = *arguments;
    ensure!(
        step == Step::Read || order != Visits::Zipf,
        "--order zipf visits pages again and again: it is for reading"
    );
    let opening = Opening { files, pages: arguments.size.pages, create: step == Step::Write, direct };
    let dir = &arguments.dir;
    let mut set = FileSet::open(dir, opening, arguments.pattern.into(), arguments.rewritten, arguments.rewrite)
        .with_context(|| format!("cannot open {files} files in {}", dir.display()))?;
    let mut passes = Vec::new();
    for number in 0..arguments.passes {
        let started = Instant::now();
        let tally = set.pass(step, order, number)?;
        passes.push(Pass { kind: step, seconds: started.elapsed().as_secs_f64(), tally });
    }
    let bad_pages = passes.iter().map(|pass| pass.tally.bad_pages).sum();
    Ok(Report { pages: set.pages(), bad_pages, seconds: started.elapsed().as_secs_f64(), passes, child: None })
}

fn load_memory(arguments: &MemoryArguments) -> Result<Report<Kind>> {
    let started = Instant::now();
    let pattern = arguments.pattern.into();
    let load =
        Load { pattern, order: arguments.order, threads: arguments.threads.into(), rewrite_percent: arguments.rewrite };
    let pages = arguments.size.pages;
    let mut set = WorkingSet::new(pages, arguments.thp, load).context("cannot map the working set")?;

    let mut passes = vec![timed(&mut set, Kind::Fill, 0)];
    if let Some(hold) = arguments.hold {
        wait(hold)?;
    }
    let mut child: Option<Tally> = None;
    for number in 1..=arguments.passes {
        let forked = arguments.fork.then(|| Child::start(&mut set)).transpose()?;
        passes.push(timed(&mut set, Kind::Rewrite, number));
        if let Some(forked) = forked {
            child.get_or_insert_default().absorb(forked.wait()?);
        }
    }
    passes.push(timed(&mut set, Kind::Verify, arguments.passes.wrapping_add(1)));

    let bad_pages = passes.iter().map(|pass| &pass.tally).chain(&child).map(|tally| tally.bad_pages).sum();
    Ok(Report { pages: pages as u64, bad_pages, seconds: started.elapsed().as_secs_f64(), passes, child })
}

fn timed(set: &mut WorkingSet, kind: Kind, number: u32) -> Pass<Kind> {
    let started = Instant::now();
    let tally = set.pass(kind, number);
    Pass { kind, seconds: started.elapsed().as_secs_f64(), tally }
}

/// Waits, and says so on standard error, so that whoever watches can act now.
fn wait(hold: Hold) -> Result<()> {
    eprintln!("tmem-load: filled, holding");
    match hold {
        Hold::Seconds(seconds) => thread::sleep(Duration::from_secs(seconds)),
        Hold::Line => {
            io::stdin().read_line(&mut String::new()).context("cannot read standard input")?;
        }
    }
    Ok(())
}
