//! Tells when the files of the policy may have changed.
//!
//! Folders are watched and not files: editors, and everybody who wants a change to be whole, put a new file in the place of
//! the old one.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

/// A folder that may have changes.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// The kernel's number of the watch; `None` while there is no such folder.
    watch: Option<i32>,
}

/// Watches a policy's folders.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: OwnedFd,
    folders: Vec<Folder>,
}

impl Watch {
    /// Watches the folder of a file, or a folder and its `policy.d`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// Where the kernel does not watch the folder.
    pub(crate) fn start(policy: &Path) -> io::Result<Self> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let parent = policy.parent().filter(|parent| !parent.as_os_str().is_empty());
        let (first, parts) = if policy.is_dir() {
            (policy, Some(policy.join("policy.d")))
        } else {
            (parent.unwrap_or(Path::new(".")), None)
        };
        let first = Folder { watch: Some(add(&inotify, first)?), path: first.to_owned() };
        let parts = parts.map(|path| Folder { watch: add(&inotify, &path).ok(), path });
        Ok(Self { inotify, folders: std::iter::once(first).chain(parts).collect() })
    }

    /// Whether something changed since the last call.
    pub(crate) fn take(&mut self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut changed = false;
        loop {
            match reader.next() {
                // That a folder is not watched any more is no change: below it is seen what is in its place.
                Ok(event) => changed |= !event.events().contains(ReadFlags::IGNORED),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        for folder in &mut self.folders {
            changed |= folder.look_again(&self.inotify);
        }
        changed
    }
}

impl Folder {
    /// Watches what is there now, and returns whether that is another folder than before. One that is watched already is not
    /// watched twice: its watch has the same number.
    fn look_again(&mut self, inotify: &OwnedFd) -> bool {
        let watch = add(inotify, &self.path).ok();
        let before = std::mem::replace(&mut self.watch, watch);
        if let Some(gone) = before.filter(|_| before != watch) {
            // Where the folder was removed, its watch went with it.
            let _ = remove_watch(inotify, gone);
        }
        before != watch
    }
}

fn add(inotify: &OwnedFd, folder: &Path) -> Result<i32, Errno> {
    let changes = WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::ONLYDIR;
    add_watch(inotify, folder, changes)
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
        let mut watch = Watch::start(&path).unwrap();
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
        let mut watch = Watch::start(folder.path()).unwrap();
        let parts = folder.path().join("policy.d");
        fs::create_dir(&parts).unwrap();
        assert!(watch.take());
        fs::write(parts.join("10.toml"), "").unwrap();
        assert!(watch.take());
    }

    #[test]
    fn a_folder_that_another_one_takes_the_place_of_is_watched_on() {
        let parent = tempfile::tempdir().unwrap();
        let (policy, new, old) = (parent.path().join("tmem"), parent.path().join("new"), parent.path().join("old"));
        fs::create_dir(&policy).unwrap();
        fs::create_dir(&new).unwrap();
        let mut watch = Watch::start(&policy).unwrap();
        fs::rename(&policy, &old).unwrap();
        fs::rename(&new, &policy).unwrap();
        assert!(watch.take());
        assert!(!watch.take());
        fs::write(policy.join("policy.toml"), "").unwrap();
        assert!(watch.take());
        fs::write(old.join("policy.toml"), "").unwrap();
        assert!(!watch.take(), "the old one is nobody's policy");
        fs::remove_dir_all(&policy).unwrap();
        assert!(watch.take());
        fs::create_dir(&policy).unwrap();
        assert!(watch.take());
    }
}
