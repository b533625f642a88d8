//! `tmem set`, `freeze`, `thaw` and `flush`: one request to one VM.

use std::time::Duration;

use anyhow::{Context, Result};
use protocol::{Request, VmName};
use vmm::config::{ByteSize, SizeOrPercent};

use crate::connection::{AskError, Connection};
use crate::{running, screen};

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

/// `tmem set VM --limit SIZE`
pub fn set_limit(vm: &VmName, limit: SizeOrPercent) -> Result<()> {
    let mut connection = connect(vm)?;
    // A guest's memory does not change, so what is asked here is still so in the next request.
    let memory_bytes = connection.show()?.memory_bytes;
    let limit_bytes = limit.bytes(memory_bytes).context("this limit is more than any machine has")?;
    Ok(connection.tell(Request::SetLimit { limit_bytes })?)
}

/// `tmem freeze VM`
pub fn freeze(vm: &VmName) -> Result<()> {
    Ok(connect(vm)?.tell(Request::Freeze)?)
}

/// `tmem thaw VM`
pub fn thaw(vm: &VmName) -> Result<()> {
    Ok(connect(vm)?.tell(Request::Thaw)?)
}

/// `tmem flush VM [SIZE]`
pub fn flush(vm: &VmName, size: Option<ByteSize>) -> Result<()> {
    let bytes = connect(vm)?.flush(size.map(|ByteSize(bytes)| bytes))?;
    screen::print(&format!("{} given back\n", screen::size(bytes)))
}
