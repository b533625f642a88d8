//! `cargo xtask package`: the driver for Debian guests.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use images::{Cache, package};

/// Arguments of `cargo xtask package`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder where the package goes
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    output: PathBuf,
}

/// Makes the package, and says how to install it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let made = package::driver(&Cache::open()?, package::VERSION)?;
    let copy = arguments.output.join(made.file_name().unwrap_or_default());
    fs::copy(&made, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    println!("{}", copy.display());
    println!(
        "in the guest, as root: apt install ./{} linux-headers-$(uname -r)",
        made.file_name().unwrap_or_default().display()
    );
    Ok(())
}
