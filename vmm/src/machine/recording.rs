//! The file that a VM's operations on its store are recorded in.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tmem::ClientConfig;
use trace::{ContentKey, Header, Recorder};

use super::{Error, random};

/// Begins a trace of a client with this configuration. A file that is there is overwritten; only its owner may read a
/// new one, for what a guest does is nobody else's business.
pub(super) fn start(path: &Path, config: &ClientConfig) -> Result<Recorder, Error> {
    let key = ContentKey::new(random()?);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| Recorder::start(file, &Header::of(config), key))
        .map_err(|source| Error::Trace { path: path.to_owned(), source })
}
