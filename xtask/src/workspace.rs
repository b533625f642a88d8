//! The checkout that is worked on.

use std::env;
use std::path::PathBuf;

use anyhow::Result;
use xshell::Shell;

/// Its root. Cargo says where it is when it runs this; what was built may be of another checkout that shares the target
/// folder.
pub fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("..")
}

/// A shell there.
pub fn shell() -> Result<Shell> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    Ok(shell)
}
