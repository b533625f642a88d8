//! A network of the case's own, with taps in it.
//!
//! It is a network namespace: nothing of the machine's network is touched, and what is in it goes with the last process
//! in it, or when the next case makes its own.

use super::Host;
use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::ffi::c_int;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;

/// Name of a tap, and of its interface.
const PREFIX: &str = "tap";

/// A tap with an address for the host; its guest has the next one.
#[derive(Clone, Debug)]
pub struct Tap {
    /// Its name.
    pub name: String,
    /// The guest's address.
    pub guest: String,
    /// The host's.
    host: String,
}

impl Host {
    /// Goes into a network that has nothing but its loopback. What this thread starts from now on is in it too.
    ///
    /// # Errors
    /// Where this is not root.
    pub fn own_network(&self) -> Result<()> {
        // SAFETY: the flag leaves the table of file descriptors alone.
        match unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
            Err(Errno::PERM) => anyhow::bail!("cases with a network make one of their own: run them as root"),
            result => result.context("no network namespace")?,
        }
        ip(&["link", "set", "lo", "up"])
    }

    /// Makes tap `number`, as a user would before he starts a VM on it. The host is 192.168.(77 + number).1 there.
    ///
    /// # Errors
    /// Where the host's kernel has no taps.
    pub fn tap(&self, number: u8) -> Result<Tap> {
        let network = 77 + number;
        let (guest, host) = (format!("192.168.{network}.2"), format!("192.168.{network}.1"));
        let tap = Tap { name: format!("{PREFIX}{number}"), guest, host };
        make_persistent(&tap.name).with_context(|| format!("no tap {}", tap.name))?;
        ip(&["address", "add", &format!("{}/24", tap.host), "dev", &tap.name])?;
        ip(&["link", "set", &tap.name, "up"])?;
        Ok(tap)
    }

    /// Lets guests reach each other through this host.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn forward(&self) -> Result<()> {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("no forwarding")
    }
}

impl Tap {
    /// The kernel option by which a Debian guest gives itself its address.
    #[must_use]
    pub fn kernel_option(&self) -> String {
        format!("ip={}::{}:255.255.255.0:::none", self.guest, self.host)
    }

    /// Deletes the interface, whoever has it open.
    ///
    /// # Errors
    /// Where it is gone already.
    pub fn delete(&self) -> Result<()> {
        ip(&["link", "delete", &self.name])
    }
}

/// `ip tuntap add`, which busybox does not have.
fn make_persistent(name: &str) -> Result<()> {
    let tun = File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: all of it may be zero: an array, and a union of integers, arrays and a pointer that nobody follows.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (character, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *character = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TAP | libc::IFF_NO_PI)?;
    // SAFETY: TUNSETIFF reads and writes an ifreq at the argument, which lives until the call returns.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let persistent: c_int = 1;
    // SAFETY: TUNSETPERSIST takes its argument by value.
    Ok(check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST, persistent) })?)
}

fn check(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("cannot start ip")?;
    ensure!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
