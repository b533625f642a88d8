//! File systems.

use super::Guest;
use anyhow::{Context, Result};
use std::fs;

/// A file system that is mounted.
#[derive(Debug)]
pub struct Mount {
    place: String,
}

impl Guest {
    /// Mounts the ext4 of a device. Reading changes nothing on it, not even times.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn mount_ext4(&self, device: &str, place: &str) -> Result<Mount> {
        self.mount("ext4", "noatime", device, place)
    }

    /// Mounts a file system of this kind with these options.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn mount(&self, kind: &str, options: &str, device: &str, place: &str) -> Result<Mount> {
        fs::create_dir_all(place)?;
        self.command("mount", &["-t", kind, "-o", options, device, place])?;
        Ok(Mount { place: place.to_owned() })
    }

    /// Lets the kernel evict every clean page of a file that it can; inodes stay.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn drop_page_cache(&self) -> Result<()> {
        self.command("sync", &[])?;
        self.set("/proc/sys/vm/drop_caches", "1")
    }

    /// Sectors that the kernel has read from a disk since boot.
    ///
    /// # Errors
    /// Where there is no such disk.
    pub fn sectors_read(&self, disk: &str) -> Result<u64> {
        let path = format!("/sys/block/{disk}/stat");
        let text = fs::read_to_string(&path).with_context(|| format!("no {path}"))?;
        Ok(text.split_whitespace().nth(2).with_context(|| format!("{path} has no third number"))?.parse()?)
    }
}

impl Mount {
    /// Unmounts it.
    ///
    /// # Errors
    /// Where a file of it is open.
    pub fn off(self, guest: &Guest) -> Result<()> {
        guest.command("umount", &[&self.place]).map(drop)
    }
}
