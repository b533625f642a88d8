//! Load generator for guests: fills memory, rewrites it and checks every page.
//!
//! It needs little memory beside the working set, one byte a page, so that what is swapped is the load.

mod arguments;
mod forked;
mod order;
mod pattern;
mod region;
mod report;
mod working_set;

use std::{io, process::ExitCode, thread, time::Duration, time::Instant};

use anyhow::{Context, Result};
use clap::Parser;

use crate::{
    arguments::{Arguments, Hold},
    forked::Child,
    pattern::Pattern,
    report::{Kind, Pass, Report, Tally},
    working_set::{Load, WorkingSet},
};

fn main() -> ExitCode {
    let result = run(&Arguments::parse()).and_then(|report| {
        println!("{}", serde_json::to_string(&report)?);
        Ok(report.bad_pages)
    });
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("tmem-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report> {
    let started = Instant::now();
    let pattern = Pattern { seed: arguments.seed, entropy: arguments.entropy, duplicates: arguments.duplicates };
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

fn timed(set: &mut WorkingSet, kind: Kind, number: u32) -> Pass {
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
