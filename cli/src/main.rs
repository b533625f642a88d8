//! `tmem`: runs VMs and the host service, and talks to those that run.

mod all;
mod apply;
mod args;
mod check;
mod connection;
mod ending;
mod example;
mod exchange;
mod explain;
mod host;
mod list;
mod logging;
mod man;
mod policy;
mod replay;
mod run;
mod running;
mod screen;
mod service;
mod shares;
mod show;
mod stop;
mod tell;
mod top;

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
        Command::Host(args) => host::run(args)?,
        Command::List { long: true, service, json } => shares::list(&service.socket, json)?,
        Command::List { long: false, json, .. } => list::list(json)?,
        Command::Top(args) => top::top(&args)?,
        Command::Freeable { service, json } => shares::freeable(&service.socket, json)?,
        Command::Show { vm, json } => show::show(&vm, json)?,
        Command::Set { vm, change, service } => tell::set(vm, &change, &service.socket)?,
        Command::Freeze(whom) => tell::freeze(&whom)?,
        Command::Thaw(whom) => tell::thaw(&whom)?,
        Command::Flush { all, what } => tell::flush(all, &what)?,
        Command::Stop { vm, wait } => stop::stop(&vm, wait)?,
    }
    Ok(ExitCode::SUCCESS)
}
