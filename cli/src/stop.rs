//! `tmem stop`

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use protocol::{Request, VmName};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::tell;

/// Presses the power button and, if asked to, waits for the VM to end. It has ended when its process has: only then are
/// its disks free.
pub fn stop(vm: &VmName, wait_seconds: Option<u32>) -> Result<()> {
    let mut connection = tell::connect(vm)?;
    let Some(seconds) = wait_seconds else { return Ok(connection.tell(Request::PowerButton)?) };
    let process = connection.process()?;
    connection.tell(Request::PowerButton)?;
    if !wait_for_end(&process, Duration::from_secs(seconds.into()))? {
        bail!("{vm} still runs after {seconds} s; its guest may not listen to the power button");
    }
    Ok(())
}

/// Whether the process ends within the time.
fn wait_for_end(process: &OwnedFd, patience: Duration) -> Result<bool> {
    let start = Instant::now();
    loop {
        let left = Timespec::try_from(patience.saturating_sub(start.elapsed()))?;
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
