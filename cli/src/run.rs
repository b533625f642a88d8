//! `tmem run`

use std::process::ExitCode;

use anyhow::Result;
use vmm::RunOptions;

use crate::args::RunArgs;
use crate::{ending, screen};

/// Runs the VM until its guest ends; with `--restart`, until it ends in another way than by a reboot.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let config = vmm::config::load(&args.config, args.overrides())?;
    let ending = vmm::run(&config, RunOptions { restart: args.restart })?;
    screen::tell(&format!("{}: {}", config.name, ending::in_words(ending)));
    Ok(ending::of_vm(ending))
}
