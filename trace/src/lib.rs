//! Traces: what a VM asked of its store and what the store answered, without a byte of what was kept there.
//!
//! ```text
//!  vCPU ── RecordedClient ── tmem::Client
//!              │ an operation, when it is answered
//!          Recorder ── bounded queue ── thread ── Writer ── file        docs/trace.md has the layout
//!
//!  file ── Reader ── Player ── tmem::Client                            pages are made of their recorded hash and size
//! ```
//!
//! The crate knows no KVM. A file is read as if an enemy had written it: everything has a limit before it is parsed, and
//! an error names the byte.

mod client;
mod content;
mod error;
mod file;
mod header;
mod layout;
mod objects;
mod operation;
mod player;
mod reader;
mod recorder;
mod replay;
mod synthesis;
mod writer;

pub use client::RecordedClient;
pub use content::{Content, ContentKey};
pub use error::{Malformed, ReadError};
pub use file::{FileReader, open};
pub use header::Header;
pub use operation::{Operation, Record};
pub use player::Player;
pub use reader::Reader;
pub use recorder::Recorder;
pub use replay::{Outcome, replay};
pub use synthesis::Synthesis;
pub use writer::Writer;
