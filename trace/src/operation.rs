//! What is recorded.

use tmem::{Key, ObjectId, PoolKind, Status};

use crate::content::Content;

/// An operation on a store, with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The guest began a new life.
    Hello,
    /// The guest asked for a pool and got this id, or was refused.
    PoolNew {
        /// What kind of pool.
        kind: PoolKind,
        /// Its id, or why there is none.
        answer: Result<u32, Status>,
    },
    /// The guest destroyed a pool.
    PoolDestroy {
        /// Its id, as the guest said it.
        pool: u32,
        /// The answer.
        status: Status,
    },
    /// The guest put a page.
    Put {
        /// Under this key.
        key: Key,
        /// What the page was like; `None` where the store answered without reading it.
        content: Option<Content>,
        /// The answer.
        status: Status,
    },
    /// The guest asked for a page.
    Get {
        /// Under this key.
        key: Key,
        /// Whether it was to leave the store.
        exclusive: bool,
        /// The answer.
        status: Status,
    },
    /// The guest invalidated `count` indexes from this key on.
    FlushRange {
        /// The first.
        first: Key,
        /// How many, as the guest said it.
        count: u64,
        /// The answer.
        status: Status,
    },
    /// The guest invalidated an object.
    FlushObject {
        /// The pool, as the guest said it.
        pool: u32,
        /// The object.
        object: ObjectId,
        /// The answer.
        status: Status,
    },
    /// The host set the limit.
    SetLimit {
        /// Most resident bytes.
        bytes: u64,
    },
    /// The host had new puts rejected.
    Freeze,
    /// The host had puts accepted again.
    Thaw,
    /// The host asked ephemeral pages back.
    FlushEphemeral {
        /// Resident bytes that were to come back.
        bytes: u64,
    },
}

impl Operation {
    /// What was answered; `None` for what the host did, and for what is not answered.
    #[must_use]
    pub fn answer(&self) -> Option<Status> {
        match *self {
            Self::PoolNew { answer, .. } => Some(answer.err().unwrap_or(Status::Ok)),
            Self::PoolDestroy { status, .. }
            | Self::Put { status, .. }
            | Self::Get { status, .. }
            | Self::FlushRange { status, .. }
            | Self::FlushObject { status, .. } => Some(status),
            Self::Hello | Self::SetLimit { .. } | Self::Freeze | Self::Thaw | Self::FlushEphemeral { .. } => None,
        }
    }
}

/// One record of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An operation.
    Operation {
        /// When it was answered, in microseconds since the trace began; never less than in the record before.
        at_us: u64,
        /// What it was.
        operation: Operation,
    },
    /// Operations that are missing: they happened after the one before this record, and most of them before the one
    /// behind it.
    Lost {
        /// How many.
        operations: u64,
    },
}
