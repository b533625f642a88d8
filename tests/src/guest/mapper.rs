//! Devices of the device mapper: a disk with the driver's cache in front of it. Made by the kernel's own interface, as
//! `dmsetup` is linked to libraries that would take memory of every guest.

use super::Guest;
use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use std::fs::{self, File};
use std::os::fd::AsRawFd;

const CONTROL: &str = "/dev/mapper/control";
/// Name of the device that the cases make.
const NAME: &str = "cached";

/// Numbers of calls, from linux/dm-ioctl.h.
const DEV_CREATE: u8 = 3;
const DEV_REMOVE: u8 = 4;
const DEV_SUSPEND: u8 = 6;
const TABLE_LOAD: u8 = 9;
/// Flag of `DEV_SUSPEND`; without it the call resumes.
const SUSPEND: u32 = 1 << 1;

/// Where fields of `struct dm_ioctl` are, and its size.
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME_FIELD: usize = 48;
const HEADER_BYTES: usize = 312;
/// Where fields of `struct dm_target_spec` are, and its size.
const LENGTH: usize = 8;
const TARGET_TYPE: usize = 24;
const TARGET_BYTES: usize = 40;
/// `_IOWR(0xfd, …, struct dm_ioctl)` without the number.
const IOCTL: libc::Ioctl = 0xc138_fd00;

/// A disk with a cache in front of it.
#[derive(Debug)]
pub struct CachedDisk {
    control: File,
    device: String,
}

impl Guest {
    /// Puts the driver's cache in front of a disk.
    ///
    /// # Errors
    /// Where a module does not load, or the disk is in use.
    pub fn cache_disk(&self, disk: &str) -> Result<CachedDisk> {
        self.command("load-modules", &["disk-cache"])?;
        let control = File::options().read(true).write(true).open(CONTROL).context("no device mapper")?;
        let size = format!("/sys/block/{disk}/size");
        let sectors: u64 = fs::read_to_string(&size).with_context(|| size.clone())?.trim().parse()?;
        let made = call(&control, DEV_CREATE, 0, &[])?;
        let number = u64::from_ne_bytes(std::array::from_fn(|i| made[DEVICE + i]));
        let minor = (number & 0xff) | ((number >> 12) & !0xff);
        let mapped = CachedDisk { control, device: format!("dm-{minor}") };
        let loaded = call(&mapped.control, TABLE_LOAD, 0, &table(sectors, &format!("/dev/{disk}")));
        match loaded.and_then(|_| call(&mapped.control, DEV_SUSPEND, 0, &[])) {
            Ok(_) => Ok(mapped),
            Err(error) => {
                mapped.off()?;
                Err(error)
            }
        }
    }
}

impl CachedDisk {
    /// Its name in `/dev` and `/sys/block`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.device
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/dev/{}", self.device)
    }

    /// Suspends it and lets it go on.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn suspend_and_resume(&self) -> Result<()> {
        call(&self.control, DEV_SUSPEND, SUSPEND, &[])?;
        call(&self.control, DEV_SUSPEND, 0, &[]).map(drop)
    }

    /// Takes the cache away; the disk stays.
    ///
    /// # Errors
    /// Where it is in use.
    pub fn off(self) -> Result<()> {
        call(&self.control, DEV_REMOVE, 0, &[]).map(drop)
    }
}

/// A `struct dm_target_spec` with its parameters behind it.
fn table(sectors: u64, disk: &str) -> Vec<u8> {
    let mut target = vec![0; TARGET_BYTES];
    target[LENGTH..LENGTH + 8].copy_from_slice(&sectors.to_ne_bytes());
    target[TARGET_TYPE..TARGET_TYPE + 4].copy_from_slice(b"tmem");
    target.extend(disk.bytes());
    target.push(0);
    target
}

/// Makes a call about the device, with one target behind it or none, and returns the kernel's answer.
fn call(control: &File, number: u8, flags: u32, target: &[u8]) -> Result<Vec<u8>> {
    let mut buffer = vec![0; HEADER_BYTES];
    buffer.extend(target);
    let mut set = |at: usize, value: u32| buffer[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    // Version 4.0.0 of the interface.
    set(0, 4);
    set(DATA_SIZE, u32::try_from(HEADER_BYTES + target.len())?);
    set(DATA_START, u32::try_from(HEADER_BYTES)?);
    set(TARGET_COUNT, u32::from(!target.is_empty()));
    set(FLAGS, flags);
    buffer[NAME_FIELD..NAME_FIELD + NAME.len()].copy_from_slice(NAME.as_bytes());
    // SAFETY: the kernel reads and writes as many bytes as the header says, which is what the buffer has.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), IOCTL | libc::Ioctl::from(number), buffer.as_mut_ptr()) };
    let errno = Errno::from_io_error(&std::io::Error::last_os_error());
    ensure!(result == 0, "device mapper, call {number}: {errno:?}");
    Ok(buffer)
}
