//! The checkout that is worked on.

use anyhow::Result;
use xshell::Shell;

/// A shell there.
pub fn shell() -> Result<Shell> {
    let shell = Shell::new()?;
    shell.change_dir(images::workspace());
    Ok(shell)
}
