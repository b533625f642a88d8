//! `tmem`: runs VMs and talks to those that run.

mod args;
mod check;
mod connection;
mod ending;
mod example;
mod list;
mod logging;
mod man;
mod policy;
mod run;
mod running;
mod screen;
mod show;
mod stop;
mod tell;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    logging::start(args.verbose);
    match carry_out(args.command) {
        Ok(code) => code,
        Err(error) => {
            screen::complain(&error);
            ending::of_error(&error)
        }
    }
}

fn carry_out(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(args) => return run::run(&args),
        Command::Policy { command } => return policy::carry_out(&command),
        Command::Check { json } => return check::check(json),
        Command::Man { folder } => man::write_pages(&folder)?,
        Command::List { json } => list::list(json)?,
        Command::Show { vm, json } => show::show(&vm, json)?,
        Command::Set { vm, limit } => tell::set_limit(&vm, limit)?,
        Command::Freeze { vm } => tell::freeze(&vm)?,
        Command::Thaw { vm } => tell::thaw(&vm)?,
        Command::Flush { vm, size } => tell::flush(&vm, size)?,
        Command::Stop { vm, wait } => stop::stop(&vm, wait)?,
    }
    Ok(ExitCode::SUCCESS)
}
