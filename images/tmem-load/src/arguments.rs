//! The command line.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand};

use crate::{
    files::{Step, Visits},
    order::Order,
    pattern::{PAGE_BYTES, Pattern, Rest},
    region::HugePages,
};

/// Fills memory with a known pattern, rewrites parts of it pass by pass, and checks every page in every pass.
///
/// The last line on standard output is the result in JSON. The exit code is 0 where every page held what was written,
/// 1 where one did not, 2 where the run could not be made.
#[derive(Debug, Parser)]
#[command(name = "tmem-load", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to load instead of memory.
    #[command(subcommand)]
    pub other: Option<Other>,
    /// The load of memory.
    #[command(flatten)]
    pub memory: MemoryArguments,
}

/// What is not memory.
#[derive(Debug, Subcommand)]
pub enum Other {
    /// Writes, reads or rewrites files that hold the pattern, and checks every page read
    Files(FileArguments),
    /// Keeps values in memory for a peer that fills and reads them over the network
    Serve {
        /// Where to listen, like 0.0.0.0:7777
        address: SocketAddr,
    },
}

/// What pages hold.
#[derive(Debug, Clone, Copy, Args)]
pub struct PatternArguments {
    /// Percent of each page's bytes that do not compress
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub entropy: u8,
    /// What the rest of each page is
    #[arg(long, value_enum, default_value_t = Rest::Word)]
    pub rest: Rest,
    /// Percent of pages that have the same content as others
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub duplicates: u8,
    /// Seed of the pattern and of the random order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl From<PatternArguments> for Pattern {
    fn from(PatternArguments { entropy, rest, duplicates, seed }: PatternArguments) -> Self {
        Self { seed, entropy, rest, duplicates }
    }
}

/// A load of files.
#[derive(Debug, Args)]
pub struct FileArguments {
    /// What to do
    #[arg(value_enum)]
    pub step: Step,
    /// Directory of the files, which are called 0, 1 and so on
    pub dir: PathBuf,
    /// Size of all files together, with a unit: KiB, MiB or GiB
    #[arg(long, default_value = "256MiB")]
    pub size: Size,
    /// How many files
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub files: u16,
    /// How often to do it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub passes: u32,
    /// Which pages to visit, and in what order
    #[arg(long, value_enum, default_value_t = Visits::Sequential)]
    pub order: Visits,
    /// Rewriting and overwriting passes that the files have been through in earlier runs
    #[arg(long, default_value_t = 0)]
    pub rewritten: u32,
    /// Percent of pages that such a pass writes anew
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub rewrite: u8,
    /// Leave the page cache out (O_DIRECT)
    #[arg(long)]
    pub direct: bool,
    /// What pages hold.
    #[command(flatten)]
    pub pattern: PatternArguments,
}

/// A load of memory.
#[derive(Debug, Args)]
pub struct MemoryArguments {
    /// Working set, with a unit: KiB, MiB or GiB
    #[arg(long, default_value = "256MiB")]
    pub size: Size,
    /// Passes that check every page and rewrite some; a filling pass comes before, a checking one after them
    #[arg(long, default_value_t = 1)]
    pub passes: u32,
    /// What pages hold.
    #[command(flatten)]
    pub pattern: PatternArguments,
    /// Order in which each thread visits its part
    #[arg(long, value_enum, default_value_t = Order::Random)]
    pub order: Order,
    /// Percent of pages that a pass rewrites
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub rewrite: u8,
    /// Threads, each with a part of the working set
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// Before each rewriting pass fork a child that checks its copy while the pass goes on
    #[arg(long)]
    pub fork: bool,
    /// Advise the kernel on huge pages [default: its own choice]
    #[arg(long, value_enum)]
    pub thp: Option<HugePages>,
    /// Wait after filling: a number of seconds, or `line` for a line on standard input
    #[arg(long)]
    pub hold: Option<Hold>,
}

/// A size in whole pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How many pages.
    pub pages: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit_bytes: usize = match unit {
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err("give a number and a unit: 256MiB, 1GiB".into()),
        };
        let bytes = number.parse().ok().and_then(|number: usize| number.checked_mul(unit_bytes));
        match bytes.map(|bytes| bytes / PAGE_BYTES) {
            None => Err("that is not a size this machine can address".into()),
            Some(0) => Err("that is less than one page of 4 KiB".into()),
            Some(pages) => Ok(Self { pages }),
        }
    }
}

/// What to wait for after filling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// This many seconds.
    Seconds(u64),
    /// A line on standard input.
    Line,
}

impl FromStr for Hold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "line" => Ok(Self::Line),
            _ => text.parse().map(Self::Seconds).map_err(|_| "give a number of seconds, or `line`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_are_whole_pages_and_have_units() {
        assert_eq!("256MiB".parse(), Ok(Size { pages: 65536 }));
        assert_eq!("9KiB".parse(), Ok(Size { pages: 2 }));
        for wrong in ["256", "256MB", "MiB", "3KiB", "99999999999999999999GiB", "17179869184GiB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hold_is_seconds_or_a_line() {
        assert_eq!("3".parse(), Ok(Hold::Seconds(3)));
        assert_eq!("line".parse(), Ok(Hold::Line));
        assert!("soon".parse::<Hold>().is_err());
    }
}
