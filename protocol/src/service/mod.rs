//! What is said on the socket of the host service, in lines as everywhere.
//!
//! ```text
//! a VM's process                                        a command
//! → register                                            → list, host, explain, set_weight
//! ← registered, or error                                ← the reply to it
//! → report          each interval, or once a minute     → …
//! ← lease           whenever it changes, unasked
//! ← flush           when memory is wanted, unasked
//! ```
//!
//! A connection that registered is a VM's, and may send nothing but reports; one connection a name. Who a VM is and what it
//! has a right to is asked of the kernel; nothing in these messages can raise a right.

mod request;
mod status;
mod to_vm;

use serde::{Deserialize, Serialize};

pub use request::{Counts, Registration, ServiceRequest};
pub use status::{HostStatus, VmStatus, VmsPage};
pub use to_vm::{Lease, ServiceReply, StoreAccept, StoreCodec, StoreEviction, StoreSettings};

use crate::wire::{decode, encode};
use crate::{DecodeError, EncodeError, VERSION};

/// Where the service listens unless it is told otherwise.
pub const SOCKET_PATH: &str = "/run/tmem/host.sock";

/// Longest message to the service in bytes, its line feed included.
pub const REQUEST_MAX_BYTES: usize = 4096;

/// Most VMs in one [`VmsPage`]: with the longest names, labels and groups a page stays below
/// [`MESSAGE_MAX_BYTES`](crate::MESSAGE_MAX_BYTES).
pub const VMS_PER_PAGE: usize = 16;

/// Longest label of a VM in bytes.
pub const LABEL_MAX_BYTES: usize = 64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestMessage {
    version: u32,
    request: ServiceRequest,
}

#[derive(Serialize, Deserialize)]
struct ReplyMessage {
    version: u32,
    reply: ServiceReply,
}

/// The line that carries a request to the service.
///
/// # Errors
///
/// [`EncodeError`]
pub fn encode_service_request(request: ServiceRequest) -> Result<Vec<u8>, EncodeError> {
    encode(&RequestMessage { version: VERSION, request })
}

/// The line that carries what the service says.
///
/// # Errors
///
/// [`EncodeError`]
pub fn encode_service_reply(reply: ServiceReply) -> Result<Vec<u8>, EncodeError> {
    encode(&ReplyMessage { version: VERSION, reply })
}

/// The request in a line; its line feed may be there or not.
///
/// # Errors
///
/// [`DecodeError`], which is the caller's [`Refusal`](crate::Refusal).
pub fn decode_service_request(line: &[u8]) -> Result<ServiceRequest, DecodeError> {
    decode::<RequestMessage>(line).map(|message| message.request)
}

/// What the service says in a line; its line feed may be there or not.
///
/// # Errors
///
/// [`DecodeError`] where the other side does not keep to the protocol.
pub fn decode_service_reply(line: &[u8]) -> Result<ServiceReply, DecodeError> {
    decode::<ReplyMessage>(line).map(|message| message.reply)
}
