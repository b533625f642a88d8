//! The policy from its files.

use std::path::{Path, PathBuf};

use policy::{LoadError, Policy};
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
    let policy = match path {
        None => Policy::default(),
        Some(path) => {
            let info = rustix::system::sysinfo();
            let memory_bytes = info.totalram.saturating_mul(info.mem_unit.into());
            policy::read(policy::load(path)?, memory_bytes).policy.map_err(|mistakes| PolicyError::Mistakes {
                path: path.to_owned(),
                first: mistakes.first().map(ToString::to_string).unwrap_or_default(),
                more: if mistakes.len() > 1 { format!(" (and {} more)", mistakes.len() - 1) } else { String::new() },
            })?
        }
    };
    let text = policy.to_toml().map_err(|error| PolicyError::Text(error.to_string()))?;
    let sha256 = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = path.map(|path| path.display().to_string());
    Ok(InForce { policy, path, generation: 1, sha256, error: None })
}
