//! `tmem set`, `freeze`, `thaw` and `flush`: what is told to VMs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use protocol::{Request, VmName};
use vmm::config::{ByteSize, SizeOrPercent};

use crate::args::{Change, Weight, Whom};
use crate::connection::{AskError, Connection};
use crate::service::Service;
use crate::{all, running, screen};

/// How long a VM may take to answer. Its event loop is never busy for long, but its host may be.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the VM; where it does not run, the error names those that do.
pub fn connect(vm: &VmName) -> Result<Connection> {
    let error = match Connection::open(vm, PATIENCE) {
        Ok(connection) => return Ok(connection),
        Err(error @ AskError::NotRunning(_)) => anyhow::Error::from(error),
        Err(error) => return Err(error.into()),
    };
    let names: Vec<String> = running::vm_names()?.iter().map(ToString::to_string).collect();
    let others = if names.is_empty() { "no VM runs at all".into() } else { format!("running: {}", names.join(", ")) };
    Err(anyhow::anyhow!("{error}; {others}"))
}

/// `tmem set VM`: its own limit is told to the VM, its weight to the host service.
pub fn set(vm: VmName, change: &Change, socket: &Path) -> Result<()> {
    if let Some(limit) = change.limit {
        set_limit(&vm, limit)?;
    }
    if let Some(Weight(weight)) = change.weight {
        Service::open(socket)?.set_weight(vm, weight)?;
    }
    Ok(())
}

fn set_limit(vm: &VmName, limit: SizeOrPercent) -> Result<()> {
    let mut connection = connect(vm)?;
    // A guest's memory does not change, so what is asked here is still so in the next request.
    let memory_bytes = connection.show()?.memory_bytes;
    let limit_bytes = limit.bytes(memory_bytes).context("this limit is more than any machine has")?;
    Ok(connection.tell(Request::SetLimit { limit_bytes })?)
}

/// `tmem freeze VM|--all`
pub fn freeze(whom: &Whom) -> Result<()> {
    tell(whom, Request::Freeze)
}

/// `tmem thaw VM|--all`
pub fn thaw(whom: &Whom) -> Result<()> {
    tell(whom, Request::Thaw)
}

fn tell(whom: &Whom, request: Request) -> Result<()> {
    match &whom.vm {
        Some(vm) => Ok(connect(vm)?.tell(request)?),
        None => all::tell(request),
    }
}

/// `tmem flush VM [SIZE]` and `tmem flush --all [SIZE]`
pub fn flush(all: bool, what: &[String]) -> Result<()> {
    let bytes = match (all, what) {
        (false, [vm]) => connect(&vm.parse()?)?.flush(None)?,
        (false, [vm, size]) => connect(&vm.parse()?)?.flush(Some(bytes(size)?))?,
        (true, []) => all::flush(u64::MAX)?,
        (true, [size]) => all::flush(bytes(size)?)?,
        _ => bail!("write `tmem flush VM [SIZE]` or `tmem flush --all [SIZE]`"),
    };
    screen::print(&format!("{} given back\n", screen::size(bytes)))
}

fn bytes(size: &str) -> Result<u64> {
    let ByteSize(bytes) = size.parse()?;
    Ok(bytes)
}
