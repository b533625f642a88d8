//! What the kernel says: about the host's memory, about control groups, and about who is at the other end of a socket.
//!
//! Decisions are made from this and from what VMs report of themselves, and only this can raise a right. The files are
//! read whole and small; what a kernel does not have is `None` and no error.

mod cgroup;
mod host;
mod peer;
mod resident;

pub use cgroup::{Cgroup, Groups};
pub use host::{HostFiles, ObserveError, memory_bytes};
pub use peer::{Peer, peer};
pub use resident::resident_bytes;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most of a file that is read: the longest here, `memory.stat`, has some 2 KiB.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// A file of `/proc` or `/sys` as text.
fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
