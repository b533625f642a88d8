//! What a client may ask of a VM.

use serde::{Deserialize, Serialize};

/// A request to the process of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Everything about the VM. Answered by [`Reply::Show`](crate::Reply::Show).
    Show,
    /// Changes what the VM's store may hold at most. Below what it holds now, nothing accepted is lost: new pages are
    /// rejected until enough are freed. Answered by [`Reply::Done`](crate::Reply::Done).
    SetLimit {
        /// The limit in bytes, not below the reservation.
        limit_bytes: u64,
    },
    /// Rejects new pages until [`Request::Thaw`]. Answered by [`Reply::Done`](crate::Reply::Done), also where the VM is
    /// frozen already.
    Freeze,
    /// Accepts pages again. Answered by [`Reply::Done`](crate::Reply::Done).
    Thaw,
    /// Drops ephemeral pages; persistent pages stay. Answered by [`Reply::Flushed`](crate::Reply::Flushed).
    Flush {
        /// How much to give back in bytes; all that is ephemeral where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// Presses the power button; the guest decides what follows. Answered by [`Reply::Done`](crate::Reply::Done) once it
    /// is pressed.
    PowerButton,
}
