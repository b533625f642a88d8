//! File systems and files on them.

use super::Guest;
use anyhow::{Context, Result};
use std::fs::{self, File};

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

/// Files that fit into memory: their pages leave it only when they are told to.
#[derive(Clone, Copy, Debug)]
pub struct FewFiles {
    place: &'static str,
}

impl FewFiles {
    /// Their pages.
    pub const PAGES: u64 = 4096;
    const SIZE: [&str; 4] = ["--size", "16MiB", "--files", "4"];

    /// Files in the folder `place`, which is not there yet.
    #[must_use]
    pub const fn in_folder(place: &'static str) -> Self {
        Self { place }
    }

    /// Runs a step of `tmem-load files` over them; no page may be bad. Returns the digest of what it read.
    ///
    /// # Errors
    /// Where one is.
    pub fn step(self, guest: &Guest, step: &str, more: &[&str]) -> Result<u64> {
        Ok(guest.load(&[&["files", step, self.place], &Self::SIZE[..], more].concat())?.digest())
    }

    /// Makes them and writes them anew while an older copy is in the store: after a read, and without one. Returns the
    /// digest of what they hold in the end, written twice.
    ///
    /// # Errors
    /// Where a page is bad.
    pub fn write_anew(self, guest: &Guest) -> Result<u64> {
        fs::create_dir(self.place)?;
        let mut digest = 0;
        for (step, more) in [
            ("write", &[][..]),
            ("read", &[]),
            ("rewrite", &[]),
            ("read", &["--rewritten", "1"]),
            ("overwrite", &["--rewritten", "1"]),
            ("read", &["--rewritten", "2", "--order", "random"]),
        ] {
            guest.drop_page_cache()?;
            digest = self.step(guest, step, more)?;
        }
        Ok(digest)
    }

    /// Makes others in their place, which get the blocks and inodes of those that are gone, and reads them.
    ///
    /// # Errors
    /// Where a page is bad.
    pub fn make_others(self, guest: &Guest) -> Result<u64> {
        fs::create_dir(self.place)?;
        self.step(guest, "write", &["--seed", "2"])?;
        guest.drop_page_cache()?;
        self.read_others(guest)
    }

    /// Reads the others. Returns the digest of what it read.
    ///
    /// # Errors
    /// Where a page is bad.
    pub fn read_others(self, guest: &Guest) -> Result<u64> {
        self.step(guest, "read", &["--seed", "2"])
    }

    /// Opens them all.
    ///
    /// # Errors
    /// Where the folder is gone.
    pub fn open(self) -> Result<Vec<File>> {
        open_all(self.place)
    }
}

/// Opens every file of a folder, and none of the folders in it.
///
/// # Errors
/// Where one cannot be opened.
pub fn open_all(place: &str) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(File::options().read(true).write(true).open(entry.path())?);
        }
    }
    Ok(files)
}
