//! Disks as files: small ones made of files for a guest, and copies.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{Cache, Key, command::Run};

/// As for initramfs images: they change with every build of what they hold.
const UNUSED_FOR: Duration = Duration::from_hours(24);
/// Room for the file system's own structures.
const ROOM_BYTES: u64 = 16 << 20;

/// Makes an ext4 of that label with copies of the files in its root, named as they are. Equal disks are one file; one
/// not asked for in a day may be dropped.
///
/// # Errors
/// Where a file cannot be read, or there is no `mke2fs` (package e2fsprogs).
pub fn of_files(cache: &Cache, label: &str, files: &[&Path]) -> Result<PathBuf> {
    let mut key = Key::new().with(label);
    let mut bytes = ROOM_BYTES;
    for file in files {
        let content = fs::read(file).with_context(|| format!("cannot put {} on a disk", file.display()))?;
        bytes += u64::try_from(content.len())?;
        key = key.with(file.file_name().unwrap_or_default().as_encoded_bytes()).with(content);
    }
    cache.drop_unused("disks", UNUSED_FOR)?;
    let entry = cache.entry("disks", &key.name(), |staging| {
        let root = staging.join("root");
        fs::create_dir(&root)?;
        for file in files {
            fs::copy(file, root.join(file.file_name().unwrap_or_default()))?;
        }
        Run::new("/sbin/mke2fs")
            .args(["-q", "-t", "ext4", "-b", "4096", "-E", "root_owner=0:0", "-L", label, "-d"])
            .arg(&root)
            .arg(staging.join("disk.img"))
            .arg(format!("{}K", bytes.div_ceil(1024)))
            .done()?;
        Ok(fs::remove_dir_all(root)?)
    })?;
    Ok(entry.join("disk.img"))
}

/// Copies a disk without its holes, or shares its blocks where the file system can.
///
/// # Errors
/// Where there is no room.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    Run::new("cp")
        .args(["--sparse=always", "--reflink=auto"])
        .arg(from)
        .arg(to)
        .done()
        .with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_made_of_its_files_contents() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let file = dir.path().join("file");
        let make = |text: &str| {
            fs::write(&file, text).unwrap();
            of_files(&cache, "label", &[&file]).unwrap()
        };
        let (one, other) = (make("one"), make("other"));
        assert_ne!(one, other);
        assert_eq!(make("one"), one);
        let read = Run::new("/sbin/debugfs").args(["-R", "cat /file"]).arg(&one).text().unwrap();
        assert_eq!(read, "one");
    }
}
