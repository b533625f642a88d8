//! Tells when the files of the policy may have changed.
//!
//! Folders are watched and not files: editors, and everybody who wants a change to be whole, put a new file in the place of
//! the old one.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;

/// Watches a policy's folders.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    folders: Vec<PathBuf>,
}

impl Watch {
    /// Watches the folder of a file, or a folder and its `policy.d`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// Where the kernel does not watch the folder.
    pub fn start(policy: &Path) -> io::Result<Self> {
        let folders = if policy.is_dir() {
            vec![policy.to_owned(), policy.join("policy.d")]
        } else {
            let parent = policy.parent().filter(|parent| !parent.as_os_str().is_empty());
            vec![parent.unwrap_or(Path::new(".")).to_owned()]
        };
        let watch = Self { inotify: init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?, folders };
        watch.add(&watch.folders[0])?;
        watch.add_those_that_came();
        Ok(watch)
    }

    fn add(&self, folder: &Path) -> io::Result<()> {
        let changes = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        add_watch(&self.inotify, folder, changes)?;
        Ok(())
    }

    /// A folder that is watched already is not watched twice, and one that is not there is looked for again.
    fn add_those_that_came(&self) {
        for folder in &self.folders[1..] {
            let _ = self.add(folder);
        }
    }

    /// Whether something changed since the last call.
    pub fn take(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut changed = false;
        loop {
            match reader.next() {
                Ok(_) => changed = true,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        self.add_those_that_came();
        changed
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_or_removed_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("policy.toml"), folder.path().join("new"));
        fs::write(&path, "").unwrap();
        let watch = Watch::start(&path).unwrap();
        assert!(!watch.take());
        fs::write(&path, "version = 1").unwrap();
        assert!(watch.take());
        assert!(!watch.take(), "each change is told once");
        fs::write(&other, "").unwrap();
        watch.take();
        fs::rename(&other, &path).unwrap();
        assert!(watch.take());
        fs::remove_file(&path).unwrap();
        assert!(watch.take());
    }

    #[test]
    fn a_part_that_comes_later_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::start(folder.path()).unwrap();
        let parts = folder.path().join("policy.d");
        fs::create_dir(&parts).unwrap();
        assert!(watch.take());
        fs::write(parts.join("10.toml"), "").unwrap();
        assert!(watch.take());
    }
}
