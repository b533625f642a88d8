//! Measures the store against the kernel's zram and against bare codecs: the same pages, the same run, interleaved.
//!
//! A benchmark asserts nothing about time: it prints medians and ratios, and writes every sample to a file that
//! `compare` reads. What it does assert is that every page comes back as it was.

mod adversary;
mod cold;
mod compare;
mod contender;
mod machine;
mod metadata;
mod page_cache;
mod pages;
mod policies;
mod replay;
mod results;
mod run;
mod scenes;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Measures the store against zram and bare codecs on the same pages")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Compare two result files: the medians of B over those of A
    Compare {
        /// The earlier results
        a: PathBuf,
        /// The later results
        b: PathBuf,
    },
    /// Print what the index takes for a file cache: every file of a folder an object, every 4 KiB of it a page
    Metadata(metadata::Arguments),
    /// Measure an ordinary guest alone and beside a hostile one
    Adversary(adversary::Arguments),
    /// Play traces of `tmem run --trace` on a store: hits, evictions, ratio, time an operation
    Replay(ReplayArguments),
    /// Count the hits that eviction policies would have had on traces, page by page
    Policies(PoliciesArguments),
    /// Make a trace of the events that `bench/page-cache-events` recorded
    PageCache(PageCacheArguments),
}

/// What to measure.
#[derive(Args)]
pub(crate) struct RunArguments {
    /// A file of raw 4 KiB pages (.pages) or the same compressed (.pages.zst), or a folder of such files
    /// [default: pages of this machine's programs and processes]
    #[arg(long)]
    pages: Vec<PathBuf>,
    /// Most pages of each set
    #[arg(long, default_value_t = 4096)]
    most: usize,
    /// Rounds; the first warms up and is not counted
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,
    /// Only contenders and single operations whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Leave out the measurements of single operations: quota cut, object flush, threads, fill
    #[arg(long)]
    no_scenes: bool,
    /// Write every sample to this file, for `compare`
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What to play, and on which stores.
#[derive(Args)]
pub(crate) struct ReplayArguments {
    /// Traces, or traces compressed by Zstandard (.zst)
    #[arg(required = true)]
    traces: Vec<PathBuf>,
    /// A limit of the store in MiB, instead of the recorded one; several for a row each
    #[arg(long, value_name = "MIB", value_delimiter = ',')]
    limit: Vec<u64>,
    /// An eviction policy instead of the recorded one, or all; several for a row each
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = replay::policies)]
    eviction: Vec<replay::Policies>,
}

/// What to count, and in which caches.
#[derive(Args)]
pub(crate) struct PoliciesArguments {
    /// Traces, or traces compressed by Zstandard (.zst)
    #[arg(required = true)]
    traces: Vec<PathBuf>,
    /// Pages that the cache holds; several for a column each
    #[arg(long, value_delimiter = ',', default_value = "4096,16384,65536")]
    pages: Vec<usize>,
}

/// What to convert.
#[derive(Args)]
pub(crate) struct PageCacheArguments {
    /// The kernel's lines, compressed by Zstandard
    events: PathBuf,
    /// The trace to make, compressed as well
    trace: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Compare { a, b }) => compare::print(&a, &b),
        Some(Command::Metadata(arguments)) => metadata::print(&arguments),
        Some(Command::Adversary(arguments)) => adversary::print(&arguments),
        Some(Command::Replay(arguments)) => replay::run(&arguments),
        Some(Command::Policies(arguments)) => policies::run(&arguments),
        Some(Command::PageCache(arguments)) => page_cache::convert(&arguments),
        None => run::run(&arguments.run),
    }
}
