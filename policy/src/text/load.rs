//! The files of a policy on disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::source::Source;

/// Longest file of a policy in bytes.
pub const FILE_MAX_BYTES: u64 = 1 << 20;

/// Most files of a policy.
pub const FILES_MAX: usize = 64;

/// Why the files of a policy cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// a file or folder cannot be read
    #[error("{path} cannot be read")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The host's answer.
        source: io::Error,
    },
    /// something in `policy.d` is no file
    #[error("{0} is no file")]
    NoFile(PathBuf),
    /// a file is too long
    #[error("{0} has more than {FILE_MAX_BYTES} bytes")]
    TooLong(PathBuf),
    /// there are too many files
    #[error("{0} has more than {FILES_MAX} files of a policy")]
    TooMany(PathBuf),
    /// a folder has no policy
    #[error("{0} has no policy.toml and no policy.d/*.toml; write an empty policy.toml where the defaults are meant")]
    Nothing(PathBuf),
}

/// Reads the files of a policy. A file is the whole policy; of a folder it is `policy.toml`, if there, and then
/// `policy.d/*.toml` in the order of their names. Names that start with a dot are left out.
///
/// # Errors
///
/// [`LoadError`]: the file or folder, and what is wrong with it.
pub fn load(path: &Path) -> Result<Vec<Source>, LoadError> {
    let unreadable = |source| LoadError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let main = path.join("policy.toml");
    let mut paths = Vec::new();
    if main.try_exists().map_err(unreadable)? {
        paths.push(main);
    }
    paths.extend(parts(&path.join("policy.d"))?);
    if paths.is_empty() {
        return Err(LoadError::Nothing(path.to_owned()));
    }
    if paths.len() > FILES_MAX {
        return Err(LoadError::TooMany(path.to_owned()));
    }
    paths.iter().map(|path| read(path)).collect()
}

/// The files of `policy.d` by name; none where there is no such folder.
fn parts(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |source| LoadError::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_hidden || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let metadata = fs::metadata(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
        if !metadata.is_file() {
            return Err(LoadError::NoFile(path));
        }
        paths.push(path);
        if paths.len() > FILES_MAX {
            return Err(LoadError::TooMany(folder.to_owned()));
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Source, LoadError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    if u64::try_from(text.len()).is_ok_and(|len| len > FILE_MAX_BYTES) {
        return Err(LoadError::TooLong(path.to_owned()));
    }
    Ok(Source { path: path.to_owned(), text })
}
