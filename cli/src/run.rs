//! `tmem run`

use std::process::ExitCode;

use anyhow::Result;
use vmm::RunOptions;

use crate::args::RunArgs;
use crate::example::EXAMPLE;
use crate::{ending, screen};

/// Runs the VM until its guest ends; with `--restart`, until it ends in another way than by a reboot.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    // Without a file there is nothing but the example to print: clap sees to that.
    let Some(file) = &args.config else {
        screen::print(EXAMPLE)?;
        return Ok(ExitCode::SUCCESS);
    };
    let config = vmm::config::load(file, args.overrides())?;
    let ending = vmm::run(&config, RunOptions { restart: args.restart })?;
    screen::tell(&format!("{}: {}", config.name, ending::in_words(ending)));
    Ok(ending::of_vm(ending))
}
