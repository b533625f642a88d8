//! The front door of the project: `cargo xtask <command>`.

mod image;
mod lint;
mod package;
mod run;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Builds, checks and shows the project", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a load in a small guest against disk swap and against tmem
    Demo(run::DemoArguments),
    /// Run every test: units, properties, hypercalls on /dev/kvm, end-to-end cases
    Test(run::Arguments),
    /// Run what is too long for every change: cases on all kernels that matter to them, sanitizers
    Soak(run::Arguments),
    /// Fetch guest kernels and build the driver for each; `image debian` makes a root disk
    Image(image::Arguments),
    /// Make the driver's package for Debian guests
    Package(package::Arguments),
    /// Measure the store against zram and bare codecs on the same pages; --help has the options
    #[command(disable_help_flag = true)]
    Bench(run::BenchArguments),
    /// Write the man pages of `tmem` and vm.toml(5) into a folder
    Man(run::ManArguments),
    /// Empty the cache of kernels, modules and images
    Clean,
    /// Check format, lints and dependency versions
    Lint,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Demo(arguments) => run::demo(&arguments),
        Command::Test(arguments) => run::test(&arguments),
        Command::Soak(arguments) => run::soak(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Package(arguments) => package::run(&arguments),
        Command::Bench(arguments) => run::bench(&arguments),
        Command::Man(arguments) => run::man(&arguments),
        Command::Clean => image::clean(),
        Command::Lint => lint::run(),
    }
}
