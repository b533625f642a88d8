//! What a Debian guest does by itself, and how to ask it.

use super::Guest;
use anyhow::{Result, bail};
use serde::Serialize;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Under emulation a boot goes on for a while after the guest half has started.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// A line of `/proc/swaps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwapArea {
    /// The device.
    pub device: String,
    /// Pages in use.
    pub used_kib: u64,
    /// Higher ones are filled first.
    pub priority: i32,
}

impl Guest {
    /// The swap areas that are on.
    ///
    /// # Errors
    /// Where `/proc/swaps` is not as it should be.
    pub fn swap_areas(&self) -> Result<Vec<SwapArea>> {
        fs::read_to_string("/proc/swaps")?.lines().skip(1).map(area).collect()
    }

    /// Waits until systemd has turned swap on at the device.
    ///
    /// # Errors
    /// Where it does not.
    pub fn wait_for_swap(&self, device: &str) -> Result<SwapArea> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let areas = self.swap_areas()?;
            match areas.into_iter().find(|area| area.device == device) {
                Some(area) => return Ok(area),
                None if Instant::now() > deadline => {
                    let units = self.command("systemctl", &["--no-pager", "--full", "list-units", "*tmem*"]);
                    bail!("no swap on {device} within {PATIENCE:?}: {units:?}")
                }
                None => thread::sleep(POLL),
            }
        }
    }
}

fn area(line: &str) -> Result<SwapArea> {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        [device, _kind, _size, used, priority] => {
            Ok(SwapArea { device: device.to_owned(), used_kib: used.parse()?, priority: priority.parse()? })
        }
        _ => bail!("/proc/swaps has a line {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_swaps_is_read() {
        let line = "/dev/tmem0                              partition\t786428\t\t1024\t\t1000";
        let expected = SwapArea { device: "/dev/tmem0".to_owned(), used_kib: 1024, priority: 1000 };
        assert_eq!(area(line).unwrap(), expected);
    }
}
