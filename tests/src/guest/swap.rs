//! Swap areas.

use super::Guest;
use anyhow::Result;
use rustix::io::Errno;
use std::ffi::CString;

/// `swapon` with a priority, from linux/swap.h.
const SWAP_FLAG_PREFER: i32 = 0x8000;

/// A swap area that is in use.
#[derive(Debug)]
pub struct Swap {
    device: String,
}

impl Guest {
    /// Writes a swap header to the device and turns it on.
    ///
    /// # Errors
    /// Where either fails.
    pub fn swap_on(&self, device: &str) -> Result<Swap> {
        self.command("mkswap", &[device])?;
        self.swap_on_again(device)
    }

    /// Turns on a device that has a swap header.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn swap_on_again(&self, device: &str) -> Result<Swap> {
        let path = CString::new(device)?;
        // SAFETY: the path is a C string that outlives the call, and the call has no other effect on this process.
        let result = unsafe { libc::swapon(path.as_ptr(), SWAP_FLAG_PREFER | 100) };
        check(result, "swapon", device)?;
        Ok(Swap { device: device.to_owned() })
    }
}

impl Swap {
    /// Turns it off: every page comes back first.
    ///
    /// # Errors
    /// Where the kernel refuses, for want of memory for instance.
    pub fn off(self) -> Result<()> {
        let path = CString::new(self.device.as_str())?;
        // SAFETY: as for swapon.
        let result = unsafe { libc::swapoff(path.as_ptr()) };
        check(result, "swapoff", &self.device)
    }
}

fn check(result: i32, what: &str, device: &str) -> Result<()> {
    if result == 0 {
        return Ok(());
    }
    let errno = Errno::from_io_error(&std::io::Error::last_os_error());
    anyhow::bail!("{what} {device}: {errno:?}")
}
