//! A key with which tests log in to guests.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{Cache, command::Run};

/// The private key, made the first time it is asked for; the public one lies beside it as [`PUBLIC`]. It opens nothing
/// but images made with it.
///
/// # Errors
/// Where there is no `ssh-keygen` (package openssh-client).
pub fn test_key(cache: &Cache) -> Result<PathBuf> {
    let entry = cache.entry("ssh", "test-key", |staging| {
        Run::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "tmem-tests", "-f"])
            .arg(staging.join(PRIVATE))
            .done()
            .context("no key for the tests")
    })?;
    Ok(entry.join(PRIVATE))
}

const PRIVATE: &str = "key";
/// Extension of the public key's file.
pub const PUBLIC: &str = "pub";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn there_is_one_key_and_its_public_half() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        let key = test_key(&cache).unwrap();
        assert!(fs::read_to_string(&key).unwrap().contains("PRIVATE KEY"));
        assert!(fs::read_to_string(key.with_extension(PUBLIC)).unwrap().starts_with("ssh-ed25519 "));
        assert_eq!(test_key(&cache).unwrap(), key);
    }
}
