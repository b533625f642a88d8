//! Counters of the guest: the kernel's and the driver's.

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

const DRIVER: &str = "/sys/kernel/tmem";
/// Longer than the driver waits before it sends frees.
const SETTLE_INTERVAL: Duration = Duration::from_millis(250);
const SETTLE_TRIES: u32 = 60;

/// What the guest has counted since boot (the kernel) and since the driver was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Pages swapped in, from `/proc/vmstat`.
    pub pswpin: u64,
    /// Pages swapped out, from `/proc/vmstat`.
    pub pswpout: u64,
    /// The driver's counters by file name.
    pub driver: BTreeMap<String, u64>,
}

impl Counters {
    /// Reads them all once they stand still: reclaim and pending frees go on for a moment after a load has ended.
    ///
    /// # Errors
    /// Where the driver is not loaded, or the counters never stand still.
    pub fn settled() -> Result<Self> {
        let mut last = Self::read()?;
        for _ in 0..SETTLE_TRIES {
            thread::sleep(SETTLE_INTERVAL);
            let next = Self::read()?;
            if next == last {
                return Ok(next);
            }
            last = next;
        }
        bail!("the counters do not stand still: {last:?}")
    }

    /// What is counted now.
    ///
    /// # Errors
    /// Where the kernel or the driver does not say.
    pub fn read() -> Result<Self> {
        let mut driver = BTreeMap::new();
        for entry in fs::read_dir(DRIVER).context("the driver's counters")? {
            let entry = entry?;
            let value = fs::read_to_string(entry.path())?.trim().parse();
            driver.insert(entry.file_name().to_string_lossy().into_owned(), value.context("a counter")?);
        }
        Ok(Self { pswpin: vmstat("pswpin")?, pswpout: vmstat("pswpout")?, driver })
    }

    /// One of the driver's counters.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn driver(&self, name: &str) -> Result<u64> {
        self.driver.get(name).copied().ok_or_else(|| anyhow!("the driver has no counter {name}"))
    }

    /// The driver's counters that have grown since, and by how much; for messages.
    #[must_use]
    pub fn grown_since(&self, earlier: &Self) -> BTreeMap<&str, u64> {
        let of_earlier = |name: &str| earlier.driver.get(name).copied().unwrap_or(0);
        let grown = self.driver.iter().map(|(name, value)| (name.as_str(), value.saturating_sub(of_earlier(name))));
        grown.filter(|(_, by)| *by > 0).collect()
    }

    /// Sum of the driver's counters whose names start so.
    #[must_use]
    pub fn sum(&self, prefix: &str) -> u64 {
        self.driver.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
    }
}

/// What the kernel has counted of cleancache since boot.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cleancache {
    /// Gets that found their page.
    pub succ_gets: u64,
    /// Gets that did not.
    pub failed_gets: u64,
    /// Pages offered.
    pub puts: u64,
    /// Single pages invalidated.
    pub invalidates: u64,
}

impl Cleancache {
    /// Reads them; debugfs must be mounted.
    ///
    /// # Errors
    /// Where the kernel has no cleancache.
    pub fn read() -> Result<Self> {
        let counter = |name: &str| -> Result<u64> {
            let text = fs::read_to_string(format!("/sys/kernel/debug/cleancache/{name}"));
            Ok(text.context("the kernel's counters of cleancache")?.trim().parse()?)
        };
        Ok(Self {
            succ_gets: counter("succ_gets")?,
            failed_gets: counter("failed_gets")?,
            puts: counter("puts")?,
            invalidates: counter("invalidates")?,
        })
    }
}

/// A line of `/proc/vmstat`.
///
/// # Errors
/// Where the kernel has no such line.
pub fn vmstat(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/vmstat")?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let value = lines.find(|(key, _)| *key == name).ok_or_else(|| anyhow!("no {name} in /proc/vmstat"))?.1;
    Ok(value.parse()?)
}
