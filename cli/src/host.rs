//! `tmem host`

use anyhow::Result;

use crate::args::HostArgs;

/// Runs the host service until it is told to end.
pub fn run(args: HostArgs) -> Result<()> {
    Ok(host::run(&host::Options { policy: args.policy, socket: args.socket, log: args.log, metrics: args.metrics })?)
}
