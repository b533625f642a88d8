//! `cargo xtask test`, `soak` and `demo`: prepare the machine, then run what the other crates have.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use images::requirements;
use xshell::{Shell, cmd};

use crate::workspace;

/// Arguments of `cargo xtask test` and `cargo xtask soak`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only these end-to-end cases, and no other test [default: everything]
    #[arg(long = "case")]
    cases: Vec<String>,
    /// Only these kernels, and no other test
    #[arg(long = "kernel")]
    kernels: Vec<String>,
}

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct DemoArguments {
    /// Do not ask before installing packages and downloading kernels
    #[arg(long)]
    yes: bool,
}

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct BenchArguments {
    /// What the bench itself takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Arguments of `cargo xtask man`.
#[derive(clap::Args)]
pub struct ManArguments {
    /// Where they go
    folder: PathBuf,
}

/// Every test: units, properties, the hypercall interface on `/dev/kvm`, the end-to-end cases.
pub fn test(arguments: &Arguments) -> Result<()> {
    requirements::install()?;
    let shell = workspace::shell()?;
    let cases = end_to_end(arguments);
    if cases.is_empty() {
        cmd!(shell, "cargo test --workspace --quiet").run()?;
    }
    Ok(cmd!(shell, "cargo run --quiet --package tests --bin run-cases -- --scope test {cases...}").run()?)
}

/// What is too long for every change: cases on every kernel that matters to them, the store's tests under ASan and
/// valgrind, its ownership rule, of pages alone and of shares, and its own lock under loom, and a long life of a store.
pub fn soak(arguments: &Arguments) -> Result<()> {
    requirements::install_to_soak()?;
    let shell = workspace::shell()?;
    let cases = end_to_end(arguments);
    if cases.is_empty() {
        let target = "x86_64-unknown-linux-gnu";
        // Not the test of the footprint: the sanitizer's shadow is resident too.
        let tests = ["--lib", "--test", "store", "--target", target, "--target-dir", "target/sanitizer"];
        cmd!(shell, "cargo +nightly test --quiet --package tmem {tests...}")
            .env("RUSTFLAGS", "-Zsanitizer=address")
            .run()?;
        // What needs no system call that valgrind does not know.
        let modules = ["arena::", "codec::", "index::", "lock::", "staging::"];
        cmd!(shell, "cargo test --quiet --package tmem --lib -- {modules...}")
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", "valgrind --quiet --error-exitcode=1")
            .run()?;
        cmd!(shell, "cargo test --quiet --release --package tmem --target-dir target/loom --lib ownership")
            .env("RUSTFLAGS", "--cfg loom")
            .run()?;
        cmd!(shell, "cargo test --quiet --release --package tmem --test churn -- --ignored").run()?;
    }
    Ok(cmd!(shell, "cargo run --quiet --package tests --bin run-cases -- --scope soak {cases...}").run()?)
}

/// One load against disk swap and against tmem.
pub fn demo(arguments: &DemoArguments) -> Result<()> {
    announce(arguments.yes)?;
    requirements::install()?;
    let shell = workspace::shell()?;
    Ok(cmd!(shell, "cargo run --quiet --package tests --bin run-demo").run()?)
}

/// The store against its peers, in the caller's folder: the arguments name files there.
pub fn bench(arguments: &BenchArguments) -> Result<()> {
    let manifest = images::workspace().join("Cargo.toml");
    let arguments = &arguments.arguments;
    let shell = Shell::new()?;
    let run = cmd!(shell, "cargo run --quiet --release --manifest-path {manifest} --package bench --");
    Ok(run.args(arguments).quiet().run()?)
}

/// The man pages; `tmem` itself knows its command line.
pub fn man(arguments: &ManArguments) -> Result<()> {
    let folder = std::path::absolute(&arguments.folder)?;
    let shell = workspace::shell()?;
    Ok(cmd!(shell, "cargo run --quiet --package cli -- man {folder}").run()?)
}

/// Says what the demo needs, and asks whether that is all right where somebody is there to answer.
fn announce(yes: bool) -> Result<()> {
    let missing = requirements::missing();
    println!("The demo boots a Debian guest in a VM of 160 MiB and lets it use 1.6 times that.");
    match missing.as_slice() {
        [] => println!("  packages   all there"),
        missing => println!("  packages   installs {}", missing.join(" ")),
    }
    println!("  downloads  Debian kernels 6.1 and 6.12 with headers, about 300 MB, the first time");
    println!("  disk       about 1.5 GB in the cache (cargo xtask clean empties it), 3 GB in target/");
    println!("  time       the first time about 10 minutes, then one or two (under eight without VMX or SVM)");
    if yes || !rustix::process::geteuid().is_root() || !io::stdin().is_terminal() {
        return Ok(());
    }
    print!("Go on? [Y/n] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if !matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes") {
        bail!("not started");
    }
    Ok(())
}

fn end_to_end(arguments: &Arguments) -> Vec<String> {
    let named =
        |flag: &str, values: &[String]| values.iter().flat_map(|value| [flag.to_owned(), value.clone()]).collect();
    let cases: Vec<String> = named("--case", &arguments.cases);
    let kernels: Vec<String> = named("--kernel", &arguments.kernels);
    [cases, kernels].concat()
}
