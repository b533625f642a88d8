//! What a VM answers.

use serde::{Deserialize, Serialize};

use crate::{DecodeError, VERSIONS, VmReport};

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// The VM as it is now.
    Show(Box<VmReport>),
    /// Ephemeral pages were dropped.
    Flushed {
        /// How many bytes came back, which is less than asked for where less was held.
        bytes: u64,
    },
    /// Nothing was done.
    Error(Refusal),
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Refusal {
    /// The reason, for programs.
    pub kind: RefusalKind,
    /// The reason, for people.
    pub message: String,
    /// The protocol versions that the answering process speaks.
    pub versions: Vec<u32>,
}

/// The reasons of a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The version of the message is not spoken.
    Version,
    /// The message is no request of its version.
    Malformed,
    /// The message is longer than any request may be.
    TooLong,
    /// The caller's user may not ask for this.
    Denied,
    /// The request asks for what the VM's configuration rules out.
    Invalid,
    /// The VM has no tmem.
    NoTmem,
    /// Another connection has the name.
    NameTaken,
    /// The host has no room for the VM.
    NotAdmitted,
    /// There is no VM of this name.
    NoSuchVm,
    /// The host could not do it.
    Failed,
    /// A reason that only newer processes know.
    #[serde(other)]
    Unknown,
}

impl Refusal {
    /// A refusal by a process that speaks [`VERSIONS`].
    #[must_use]
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), versions: VERSIONS.to_vec() }
    }
}

impl From<&DecodeError> for Refusal {
    fn from(error: &DecodeError) -> Self {
        let kind = match error {
            DecodeError::TooLong => RefusalKind::TooLong,
            DecodeError::Version { .. } => RefusalKind::Version,
            DecodeError::Malformed(_) => RefusalKind::Malformed,
        };
        let message = match error {
            DecodeError::Malformed(reason) => format!("{error}: {reason}"),
            DecodeError::TooLong | DecodeError::Version { .. } => error.to_string(),
        };
        Self::new(kind, message)
    }
}
