//! The cache outside the checkout: entries named by what they were made from.
//!
//! ```text
//! <root>/lock              shared while a process uses the cache, exclusive to empty it
//! <root>/locks/<entry>     exclusive while one process makes that entry
//! <root>/staging/<entry>   an entry being made; what a killed process left is removed by the next one
//! <root>/<kind>/<name>/    a finished entry: it appears whole, by a rename, and its content never changes afterwards;
//!                          its time is that of its last use
//! <root>/apt/<suite>/      apt's private state, partial downloads included
//! <root>/scratch/          what a program that uses the cache needs only while it runs
//! ```

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::tree::sources_in;

/// Nothing runs this long: who had that directory was killed.
const LEFT_BEHIND: Duration = Duration::from_hours(24);

/// The directory where kernels, modules and images are kept between runs.
///
/// `$TMEM_CACHE`, else `$XDG_CACHE_HOME/tmem`, else `~/.cache/tmem`.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    // Held for its lock: nobody empties the cache while it is in use.
    in_use: File,
}

impl Cache {
    /// Opens the cache of this user, making it if need be.
    ///
    /// # Errors
    /// Where no place can be told from the environment or the place cannot be written.
    pub fn open() -> Result<Self> {
        Self::at(default_root()?)
    }

    /// Opens a cache in `root`.
    ///
    /// # Errors
    /// Where `root` cannot be made or written.
    pub fn at(root: impl Into<PathBuf>) -> Result<Self> {
        let root = std::path::absolute(root.into()).context("the cache needs an absolute place")?;
        let locks = root.join("locks");
        fs::create_dir_all(&locks)
            .with_context(|| format!("cannot make the cache {}; set TMEM_CACHE to another place", root.display()))?;
        let in_use = open_lock(&root.join("lock"))?;
        in_use.lock_shared()?;
        Ok(Self { root, in_use })
    }

    /// Where the cache is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory on the cache's disk for what is needed only while a program runs. It is the program's to remove;
    /// what a killed one left goes a day later.
    ///
    /// # Errors
    /// Where it cannot be made, or an old one in it cannot be removed.
    pub fn scratch(&self) -> Result<TempDir> {
        let scratch = self.root.join("scratch");
        self.drop_unused("scratch", LEFT_BEHIND)?;
        fs::create_dir_all(&scratch)?;
        Ok(TempDir::new_in(scratch)?)
    }

    /// Removes everything the cache holds.
    ///
    /// # Errors
    /// Where another process is using the cache, or a file cannot be removed.
    pub fn clear(self) -> Result<()> {
        self.in_use.unlock()?;
        match self.in_use.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("{} is in use by another process", self.root.display()),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            // Not the lock: a process waiting for it must not get one that nobody else sees.
            if path.is_dir() {
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// The finished entry of that name, if there is one.
    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<PathBuf> {
        let path = self.path(kind, name);
        if !path.exists() {
            return None;
        }
        // In a cache that only another user may write, an entry merely looks older than it is.
        let _ = mark_used(&path);
        Some(path)
    }

    /// Removes the entries of a kind that nobody has used for `age`.
    pub(crate) fn drop_unused(&self, kind: &str, age: Duration) -> Result<()> {
        let Ok(entries) = fs::read_dir(self.root.join(kind)) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let used = entry.metadata().and_then(|meta| meta.modified());
            if used.is_ok_and(|time| time.elapsed().is_ok_and(|unused| unused > age)) {
                let _dropping = self.lock(&format!("{kind}-{}", entry.file_name().display()))?;
                match fs::remove_dir_all(entry.path()) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Where the entry of that name is or will be.
    fn path(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join(kind).join(name)
    }

    /// The entry of that name, made first where it is missing: `make` fills an empty directory.
    ///
    /// # Errors
    /// What `make` returns, and failures to write. A failed entry leaves nothing behind that counts as made.
    pub(crate) fn entry(&self, kind: &str, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        if let Some(made) = self.find(kind, name) {
            return Ok(made);
        }
        let id = format!("{kind}-{name}");
        let _making = self.lock(&id)?;
        if let Some(made) = self.find(kind, name) {
            return Ok(made);
        }
        let staging = self.root.join("staging").join(&id);
        if staging.exists() {
            fs::remove_dir_all(&staging)?;
        }
        fs::create_dir_all(&staging)?;
        make(&staging)?;
        // Unpacking gives a directory the time of its package.
        mark_used(&staging)?;
        let path = self.path(kind, name);
        fs::create_dir_all(self.root.join(kind))?;
        fs::rename(&staging, &path).with_context(|| format!("cannot keep {}", path.display()))?;
        Ok(path)
    }

    /// Waits until this process alone holds the lock of that name; given back when the file is dropped.
    pub(crate) fn lock(&self, id: &str) -> Result<File> {
        let file = open_lock(&self.root.join("locks").join(id))?;
        file.lock()?;
        Ok(file)
    }
}

/// Sets the time of a directory to now.
fn mark_used(dir: &Path) -> io::Result<()> {
    File::open(dir)?.set_modified(SystemTime::now())
}

fn open_lock(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open the lock {}", path.display()))
}

fn default_root() -> Result<PathBuf> {
    let place = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    place("TMEM_CACHE")
        .or_else(|| place("XDG_CACHE_HOME").map(|dir| dir.join("tmem")))
        .or_else(|| place("HOME").map(|home| home.join(".cache/tmem")))
        .context("no place for the cache: none of TMEM_CACHE, XDG_CACHE_HOME and HOME is set")
}

/// The name of a cache entry: a digest of everything that decides its content.
#[derive(Debug, Clone, Default)]
pub struct Key(Sha256);

impl Key {
    /// A key of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes. The length goes in too, so that two parts never read as one.
    #[must_use]
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Adds every file under `dir`: its path inside `dir` and its bytes, in the order of the paths.
    ///
    /// # Errors
    /// Where something under `dir` cannot be read.
    pub fn with_tree(mut self, dir: &Path) -> Result<Self> {
        for path in sources_in(dir)? {
            self = self.with(path.file_name().unwrap_or_default().as_encoded_bytes());
            self = if path.is_dir() { self.with_tree(&path)? } else { self.with(fs::read(&path)?) };
        }
        Ok(self)
    }

    /// The name: 32 hexadecimal digits.
    #[must_use]
    pub fn name(self) -> String {
        self.0.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        (dir, cache)
    }

    #[test]
    fn an_entry_is_made_once() {
        let (_dir, cache) = scratch();
        let path = cache.entry("kind", "name", |dir| Ok(fs::write(dir.join("file"), "first")?)).unwrap();
        let again = cache.entry("kind", "name", |_| bail!("made twice")).unwrap();
        assert_eq!(path, again);
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "first");
    }

    #[test]
    fn a_failed_entry_is_not_found_and_can_be_made_later() {
        let (_dir, cache) = scratch();
        let broken = |dir: &Path| {
            fs::write(dir.join("half"), "")?;
            bail!("broken")
        };
        cache.entry("kind", "name", broken).unwrap_err();
        assert_eq!(cache.find("kind", "name"), None);
        let path = cache.entry("kind", "name", |_| Ok(())).unwrap();
        assert!(!path.join("half").exists(), "the next maker starts from an empty directory");
    }

    #[test]
    fn only_entries_out_of_use_are_dropped() {
        let (_dir, cache) = scratch();
        let long_ago = SystemTime::now() - Duration::from_hours(48);
        let unpacked_old = |dir: &Path| Ok(File::open(dir)?.set_modified(long_ago)?);
        let old = cache.entry("kind", "old", |_| Ok(())).unwrap();
        cache.entry("kind", "used", unpacked_old).unwrap();
        File::open(old).unwrap().set_modified(long_ago).unwrap();
        cache.drop_unused("kind", Duration::from_hours(24)).unwrap();
        assert_eq!(cache.find("kind", "old"), None);
        assert!(cache.find("kind", "used").is_some());
    }

    #[test]
    fn a_cache_in_use_is_not_emptied() {
        let (dir, cache) = scratch();
        cache.entry("kind", "name", |_| Ok(())).unwrap();
        let other = Cache::at(dir.path()).unwrap();
        other.clear().unwrap_err();
        assert!(cache.find("kind", "name").is_some());
        cache.clear().unwrap();
        assert!(!dir.path().join("kind").exists());
    }

    #[test]
    fn a_key_tells_parts_and_paths_apart() {
        assert_ne!(Key::new().with("ab").with("c").name(), Key::new().with("a").with("bc").name());
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "x").unwrap();
        let before = Key::new().with_tree(dir.path()).unwrap().name();
        fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
        assert_ne!(before, Key::new().with_tree(dir.path()).unwrap().name());
    }
}
