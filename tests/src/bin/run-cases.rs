//! Runs end-to-end cases on the bed that fits this machine, and prints how each ended.

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use images::kernels;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tests::bed::{self, Bed, Images, Outcome};
use tests::case::Case;
use tests::cases;

#[derive(Parser)]
#[command(about = "Runs end-to-end cases on real guests")]
struct Arguments {
    /// Which pairs of case and kernel
    #[arg(long, value_enum, default_value_t = Scope::Test)]
    scope: Scope,
    /// Only these cases [default: all]
    #[arg(long = "case")]
    cases: Vec<String>,
    /// Only these kernels [default: all]
    #[arg(long = "kernel")]
    kernels: Vec<String>,
    /// Print everything that the machines say
    #[arg(long)]
    console: bool,
    /// Print the cases and end
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scope {
    /// Every case on 6.1, the main ones on every kernel
    Test,
    /// Every case on every kernel that could make a difference
    Soak,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let chosen = choose(&arguments)?;
    if arguments.list {
        for (kernel, case) in &chosen {
            println!("{kernel:14} {:32} {}", case.name, case.shows);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let bed = Bed::choose();
    println!("bed: {bed}");
    let images = Images::new()?.console(arguments.console);
    let kernels: BTreeSet<_> = chosen.iter().map(|(kernel, _)| kernel.clone()).collect();
    let mut tolerated = BTreeSet::new();
    for name in kernels {
        let kernel = images.kernel(&name)?;
        println!("kernel {name}: {} ({})", kernel.release, kernel.package_version);
        if !kernel.is_known_good() && kernel.recipe.follow {
            println!("  newer than the one last known good: a failure on it is named and does not count");
            tolerated.insert(name);
        }
    }

    let started = Instant::now();
    let outcomes = Mutex::new(Vec::new());
    bed::run(bed, &images, bed::jobs(&chosen), |outcome| {
        print(&outcome);
        outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
    })?;
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.failure.is_some()).collect();
    let fatal = failed.iter().filter(|outcome| !tolerated.contains(&outcome.kernel)).count();
    for outcome in &failed {
        println!(
            "\nfailed: {} on {}\n{}",
            outcome.case,
            outcome.kernel,
            outcome.failure.as_deref().unwrap_or_default()
        );
    }
    let passed = outcomes.len() - failed.len();
    println!("\nend-to-end cases in {:.0} s, {bed}", started.elapsed().as_secs_f64());
    if failed.len() > fatal {
        println!("{} failed on a kernel that is not yet known to be good", failed.len() - fatal);
    }
    println!("{passed} passed, {fatal} failed");
    Ok(if fatal == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(outcome: &Outcome) {
    let verdict = if outcome.failure.is_none() { "ok" } else { "FAILED" };
    println!(
        "{:14} {:32} {verdict:6} {:6.1} s  {}",
        outcome.kernel,
        outcome.case,
        outcome.seconds,
        outcome.notes.join("; ")
    );
}

/// The pairs of kernel and case that the arguments name.
fn choose(arguments: &Arguments) -> Result<Vec<(String, &'static Case)>> {
    for name in &arguments.cases {
        ensure!(cases::named(name).is_some(), "there is no case {name}; --list names them");
    }
    for name in &arguments.kernels {
        kernels::named(name)?;
    }
    let wanted = |name: &str, list: &[String]| list.is_empty() || list.iter().any(|listed| listed == name);
    // A case or a kernel that is asked for by name is run wherever it can be.
    let everywhere = !arguments.cases.is_empty() || !arguments.kernels.is_empty();
    let mut chosen = Vec::new();
    for kernel in kernels::all().iter().map(|recipe| recipe.name.as_str()) {
        for case in cases::ALL {
            let kernels = match arguments.scope {
                Scope::Test if !everywhere => case.runs.test,
                Scope::Test | Scope::Soak => case.runs.soak,
            };
            if kernels.contains(&kernel) && wanted(case.name, &arguments.cases) && wanted(kernel, &arguments.kernels) {
                chosen.push((kernel.to_owned(), case));
            }
        }
    }
    ensure!(!chosen.is_empty(), "no case runs on what was asked for; --list with --scope soak names the pairs");
    Ok(chosen)
}
