//! Recorded VMs under a policy: what would each have got of the host's memory, and what would have come of it?
//!
//! ```text
//!  a trace a VM ──► Player ──► a real store ◄── Share ◄── lease ── host::Engine ◄── the decision log's host,
//!                                  └────────── counts ──────────────────►           or a pool of constant size
//! ```
//!
//! The traces are played together by their time on one thread. At each interval the host service's own engine is told
//! the stores' counts, decides, and the leases that changed go into the stores as a VM's process puts them there. The
//! same inputs give the same outcome.
//!
//! Whatever a trace or a log says, no more than [`INTERVALS_MAX`] intervals are played, and files are read with limits.

mod error;
mod limits;
mod log;
mod plan;
mod recording;
mod run;
mod tally;
mod vm;

pub use error::{BadLine, Error, LogError};
pub use limits::{INTERVALS_MAX, LINE_MAX_BYTES, VMS_MAX};
pub use log::DecisionLog;
pub use plan::{Host, Plan};
pub use recording::Recording;
pub use tally::Tally;
pub use vm::VmOutcome;
