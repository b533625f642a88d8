//! The policy from its files.

use std::path::{Path, PathBuf};

use observe::memory_bytes;
use policy::{LoadError, Policy, Source};
use sha2::{Digest, Sha256};

use crate::engine::InForce;

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// its files cannot be read
    #[error("no policy: {0}")]
    Load(#[from] LoadError),
    /// it has mistakes
    #[error("{path} is no valid policy: {first}{more}; `tmem policy check {path}` shows all")]
    Mistakes {
        /// What was read.
        path: PathBuf,
        /// The first mistake, with its place.
        first: String,
        /// How many more there are, in words.
        more: String,
    },
    /// it cannot be written down
    #[error("the policy has a number that TOML cannot express: {0}")]
    Text(String),
}

/// Reads and checks the policy for this host; the built-in one without a path.
///
/// # Errors
///
/// [`PolicyError`] with the first mistake.
pub fn read_policy(path: Option<&Path>) -> Result<InForce, PolicyError> {
    read_policy_for(path, memory_bytes())
}

/// Reads and checks the policy for a host with so much memory; the built-in one without a path.
///
/// # Errors
///
/// [`PolicyError`] with the first mistake.
pub fn read_policy_for(path: Option<&Path>, memory_bytes: u64) -> Result<InForce, PolicyError> {
    match path {
        None => in_force(Policy::default(), None),
        Some(path) => judge(path, policy::load(path)?, memory_bytes),
    }
}

/// Checks files for this host as if they were the policy at `path`.
///
/// # Errors
///
/// [`PolicyError`] with the first mistake.
pub fn judge_policy(path: &Path, files: Vec<Source>) -> Result<InForce, PolicyError> {
    judge(path, files, memory_bytes())
}

fn judge(path: &Path, files: Vec<Source>, memory_bytes: u64) -> Result<InForce, PolicyError> {
    let policy = policy::read(files, memory_bytes).policy.map_err(|mistakes| PolicyError::Mistakes {
        path: path.to_owned(),
        first: mistakes.first().map(ToString::to_string).unwrap_or_default(),
        more: if mistakes.len() > 1 { format!(" (and {} more)", mistakes.len() - 1) } else { String::new() },
    })?;
    in_force(policy, Some(path))
}

fn in_force(policy: Policy, path: Option<&Path>) -> Result<InForce, PolicyError> {
    let text = policy.to_toml().map_err(|error| PolicyError::Text(error.to_string()))?;
    let sha256 = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    // Who asks for it may be in another folder. Only an empty path has no absolute one.
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = path.map(|path| absolute(path).display().to_string());
    Ok(InForce { policy, path, generation: 1, sha256, error: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_policy_is_does_not_depend_on_the_folder_of_who_asks() {
        let found = judge_policy(Path::new("p.toml"), Vec::new()).unwrap();
        let path = std::env::current_dir().unwrap().join("p.toml");
        assert_eq!(found.path.as_deref(), path.to_str());
        assert_eq!(found.sha256, read_policy(None).unwrap().sha256, "the same as all defaults");
    }
}
