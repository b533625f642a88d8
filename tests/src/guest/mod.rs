//! The guest half of a case: runs as root in a guest that has nothing but busybox, the driver and the load generator.

mod counters;
mod debian;
mod driver;
mod files;
mod load;
mod mapper;
mod network;
mod swap;

pub use counters::{Cleancache, Counters, vmstat};
pub use debian::SwapArea;
pub use files::{FewFiles, Mount, open_all};
pub use load::{Load, LoadReport};
pub use mapper::CachedDisk;
pub use network::{Card, ValueServer};
pub use swap::Swap;

use crate::case::Case;
use crate::marker;
use anyhow::{Context, Result, anyhow, ensure};
use rustix::mm::{MlockAllFlags, mlockall};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, BufRead, Write};
use std::process::Command;

/// What a guest half has at hand.
#[derive(Debug)]
pub struct Guest {
    arguments: Vec<String>,
}

impl Guest {
    /// Runs the guest half of the case that the kernel's command line names, and says on the console how it ended.
    pub fn run(find: impl Fn(&str) -> Option<&'static Case>) {
        let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        // Where memory runs out it is a load that goes. A kernel that refuses this says so in the case's outcome.
        let _ = fs::write("/proc/self/oom_score_adj", "-1000");
        // What the guest half touches must not swap: counters are compared to the last page.
        if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
            return print(marker::FAILED, &json!(format!("mlockall: {error}")));
        }
        let named = words(&cmdline, "tmem.case=").next();
        let outcome = match named.and_then(find) {
            Some(case) => {
                (case.guest)(&mut Self { arguments: words(&cmdline, "tmem.argument=").map(str::to_owned).collect() })
            }
            None => Err(anyhow!("no case {named:?}")),
        };
        match outcome.and_then(|()| nothing_noticed()) {
            Ok(()) => print(marker::DONE, &Value::Null),
            Err(error) => print(marker::FAILED, &json!(format!("{error:#}\n{}", log_tail()))),
        }
    }

    /// A word that the host half gave.
    ///
    /// # Errors
    /// Where it gave fewer.
    pub fn argument(&self, index: usize) -> Result<&str> {
        self.arguments.get(index).map(String::as_str).ok_or_else(|| anyhow!("the host half gave no argument {index}"))
    }

    /// Tells the host half something and goes on.
    pub fn tell(&self, name: &str, value: &Value) {
        print(name, value);
    }

    /// Tells the host half something and waits until it lets us go on; returns the line it said.
    ///
    /// # Errors
    /// Where the console cannot be read.
    pub fn sync(&self, name: &str, value: &Value) -> Result<String> {
        print(name, value);
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).context("the console cannot be read")?;
        Ok(line.trim().to_owned())
    }

    /// Runs a program to its end; it must succeed.
    ///
    /// # Errors
    /// Where it does not, with what it printed.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output =
            Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
        let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{program} {arguments:?}: {}: {text}{error}", output.status);
        Ok(text.into_owned())
    }

    /// A line of `/proc/meminfo`, in KiB.
    ///
    /// # Errors
    /// Where the kernel has no such line.
    pub fn meminfo_kib(&self, name: &str) -> Result<u64> {
        let text = fs::read_to_string("/proc/meminfo")?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let value = lines.find(|(key, _)| *key == name).ok_or_else(|| anyhow!("no {name} in /proc/meminfo"))?.1;
        Ok(value.trim().trim_end_matches(" kB").parse()?)
    }

    /// A percentage of the memory that the kernel manages, as a size for `tmem-load`.
    ///
    /// # Errors
    /// Where `/proc/meminfo` does not tell it.
    pub fn percent_of_memory(&self, percent: u64) -> Result<String> {
        Ok(whole_pages(self.meminfo_kib("MemTotal")? * percent / 100))
    }

    /// Writes a value into a file of `/proc` or `/sys`.
    ///
    /// # Errors
    /// Where the kernel refuses it.
    pub fn set(&self, path: &str, value: &str) -> Result<()> {
        fs::write(path, value).with_context(|| format!("cannot write {value} to {path}"))
    }
}

/// A kernel that checks its own locks has found nothing: it says so in its log, and not all of it is a warning that
/// would have stopped it.
fn nothing_noticed() -> Result<()> {
    if !fs::exists("/proc/lockdep_stats")? {
        return Ok(());
    }
    let log = Command::new("dmesg").output()?.stdout;
    let log = String::from_utf8_lossy(&log);
    let noticed: Vec<_> = log.lines().filter(|line| line.contains("BUG:") || line.contains("WARNING:")).collect();
    ensure!(noticed.is_empty(), "the kernel noticed: {noticed:?}");
    Ok(())
}

/// The end of the kernel's log, most of which is kept off the console: why the OOM killer came, for one.
fn log_tail() -> String {
    const LINES: usize = 80;
    match Command::new("dmesg").output() {
        Ok(output) => {
            let log = String::from_utf8_lossy(&output.stdout);
            let lines: Vec<_> = log.lines().map(|line| format!("  > {line}")).collect();
            lines[lines.len().saturating_sub(LINES)..].join("\n")
        }
        Err(error) => format!("no log of the kernel: {error}"),
    }
}

/// A size for `tmem-load`.
#[must_use]
pub fn whole_pages(kib: u64) -> String {
    format!("{}KiB", kib / 4 * 4)
}

fn words<'a>(cmdline: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    cmdline.split_whitespace().filter_map(move |word| word.strip_prefix(key))
}

fn print(name: &str, value: &Value) {
    if let Some(wrong) = marker::wrong_name(name) {
        return print(marker::FAILED, &json!(wrong));
    }
    let mut out = io::stdout().lock();
    // Without a console there is nobody to tell.
    let _ = out.write_all(marker::line(name, value).as_bytes());
    let _ = out.flush();
}
