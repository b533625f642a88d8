//! Control messages between the processes of tmem: typed, versioned, and without I/O.
//!
//! Each VM listens on an abstract Unix socket named [`VmName::socket_name`]. A client sends a [`Request`] and gets one
//! [`Reply`], as often as it likes on one connection. Each message is one line of JSON, at most [`MESSAGE_MAX_BYTES`]
//! long:
//!
//! ```text
//! → {"version":1,"request":{"set_limit":{"limit_bytes":67108864}}}
//! ← {"version":1,"reply":"done"}
//! ```
//!
//! The host service listens on a socket in the file system, [`service::SOCKET_PATH`]; what is said there is in [`service`].
//!
//! The version is looked at before anything else of a message. Within one version requests never change: an unknown
//! request or field is an error, so that nothing a client asked for is silently left undone. Replies may gain fields,
//! which older clients skip.

mod name;
mod reply;
mod report;
mod request;
pub mod service;
mod wire;

pub use name::{NAME_MAX_BYTES, NameError, SOCKET_PREFIX, VmName};
pub use reply::{Refusal, RefusalKind, Reply};
pub use report::{CounterGroups, GuestReport, ShareReport, ShareSource, TmemReport, VmReport, VmState};
pub use request::Request;
pub use wire::{
    DecodeError, EncodeError, MESSAGE_MAX_BYTES, VERSION, VERSIONS, decode_reply, decode_request, encode_reply,
    encode_request,
};
