//! The program that runs the cases' halves: `host` where KVM is, `guest` inside the guest.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tests::bed::Outcome;
use tests::case::Case;
use tests::cases;
use tests::guest::Guest;
use tests::host::{Files, Host};

#[derive(Parser)]
#[command(about = "Runs the host halves and the guest halves of end-to-end cases")]
struct Arguments {
    #[command(subcommand)]
    half: Half,
}

#[derive(Subcommand)]
enum Half {
    /// Runs the guest half of the case that the kernel's command line names
    Guest,
    /// Runs the host halves of cases, and with them their guests
    Host {
        /// The `tmem` command
        #[arg(long)]
        tmem: PathBuf,
        /// Directory with KERNEL/bzImage and KERNEL/initramfs
        #[arg(long)]
        images: PathBuf,
        /// Directory for what the cases make
        #[arg(long)]
        scratch: PathBuf,
        /// Kernel of the guests
        #[arg(long)]
        kernel: String,
        /// The cases
        cases: Vec<String>,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().half {
        Half::Guest => {
            Guest::run(cases::named);
            ExitCode::SUCCESS
        }
        Half::Host { tmem, images, scratch, kernel, cases } => {
            let files = Files { tmem, images, scratch };
            let failed = cases.iter().filter(|name| !run(&files, &kernel, name)).count();
            if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

/// Runs one case and reports how it ended.
fn run(files: &Files, kernel: &str, name: &str) -> bool {
    let started = Instant::now();
    let mut notes = Vec::new();
    let outcome = match cases::named(name) {
        Some(case) => host_half(files, kernel, case, &mut notes),
        None => Err(anyhow::anyhow!("there is no case {name}")),
    };
    let failure = outcome.err().map(|error| format!("{error:#}"));
    let passed = failure.is_none();
    let seconds = started.elapsed().as_secs_f64();
    println!("{}", Outcome { case: name.to_owned(), kernel: kernel.to_owned(), seconds, notes, failure }.line());
    passed
}

fn host_half(files: &Files, kernel: &str, case: &Case, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let mut host = Host::new(files, case.name, kernel)?;
    let outcome = (case.host)(&mut host);
    notes.append(&mut host.notes);
    outcome
}
