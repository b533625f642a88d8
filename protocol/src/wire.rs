//! Messages to bytes and back, with the limits that hold before anything is parsed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Reply, Request};

/// The version that this build writes.
pub const VERSION: u32 = 1;

/// The versions that this build reads.
pub const VERSIONS: &[u32] = &[VERSION];

/// Longest message in bytes, its line feed included.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// Why bytes are no message. Always the sender's fault.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// a message is too long
    #[error("a message is longer than {MESSAGE_MAX_BYTES} bytes")]
    TooLong,
    /// the message's version is not spoken
    #[error("protocol version {found} is not spoken here, only {VERSIONS:?}")]
    Version {
        /// The message's version.
        found: u64,
    },
    /// the message is not valid
    #[error("not a valid message of the protocol versions {VERSIONS:?}")]
    Malformed(#[source] serde_json::Error),
}

/// Why a message cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// the message would be too long
    #[error("the message would have {len} bytes, at most {MESSAGE_MAX_BYTES} are allowed")]
    TooLong {
        /// Length in bytes that it would have.
        len: usize,
    },
    /// the message cannot be expressed
    #[error("the message cannot be expressed as JSON")]
    Json(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestMessage {
    version: u32,
    request: Request,
}

#[derive(Serialize, Deserialize)]
struct ReplyMessage {
    version: u32,
    reply: Reply,
}

/// The line that carries a request.
///
/// # Errors
///
/// [`EncodeError`]; the requests of version 1 cause none.
pub fn encode_request(request: Request) -> Result<Vec<u8>, EncodeError> {
    encode(&RequestMessage { version: VERSION, request })
}

/// The line that carries a reply.
///
/// # Errors
///
/// [`EncodeError::TooLong`] where a report has more counters or longer texts than fit.
pub fn encode_reply(reply: Reply) -> Result<Vec<u8>, EncodeError> {
    encode(&ReplyMessage { version: VERSION, reply })
}

/// The request in a line; its line feed may be there or not.
///
/// # Errors
///
/// [`DecodeError`], which is the caller's [`Refusal`](crate::Refusal).
pub fn decode_request(line: &[u8]) -> Result<Request, DecodeError> {
    decode::<RequestMessage>(line).map(|message| message.request)
}

/// The reply in a line; its line feed may be there or not.
///
/// # Errors
///
/// [`DecodeError`] where the other side does not keep to the protocol.
pub fn decode_reply(line: &[u8]) -> Result<Reply, DecodeError> {
    decode::<ReplyMessage>(line).map(|message| message.reply)
}

pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() > MESSAGE_MAX_BYTES {
        return Err(EncodeError::TooLong { len: line.len() });
    }
    Ok(line)
}

/// Reads a message in two passes: only the first, which looks at nothing but the version, can be made for messages of
/// versions that are not known here.
pub(crate) fn decode<M: DeserializeOwned>(line: &[u8]) -> Result<M, DecodeError> {
    if line.len() > MESSAGE_MAX_BYTES {
        return Err(DecodeError::TooLong);
    }
    let Versioned { version: found } = serde_json::from_slice(line).map_err(DecodeError::Malformed)?;
    if !VERSIONS.iter().any(|spoken| u64::from(*spoken) == found) {
        return Err(DecodeError::Version { found });
    }
    serde_json::from_slice(line).map_err(DecodeError::Malformed)
}
