//! Why a trace cannot be read.

use std::io;

/// Where and why reading a trace ended.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("byte {offset}: the trace cannot be read")]
    Io {
        /// Bytes read before.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What is there is no trace.
    #[error("byte {offset}: {problem}")]
    Malformed {
        /// The first byte of what is wrong: the header, or a record.
        offset: u64,
        /// What is wrong with it.
        problem: Malformed,
    },
}

/// What is wrong with a header or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The file begins with something else.
    #[error("this is no trace: one begins with \"tmemtrc\" and a line feed")]
    Magic,
    /// The layout is not one that is read here.
    #[error("the trace has version {0}; this program reads version 1")]
    Version(u32),
    /// The file ends before the trace does: its recorder was killed, or its disk was full.
    #[error("the trace is cut short here; what stands before is whole")]
    CutShort,
    /// The trace goes on behind its end.
    #[error("the trace has ended, and more bytes follow")]
    Trailing,
    /// A kind of record that this version does not have.
    #[error("{0} is no kind of record")]
    Kind(u8),
    /// A number of more than 64 bits.
    #[error("a number of more than 64 bits")]
    Number,
    /// A field with a value that makes no sense.
    #[error("the record's {0} makes no sense")]
    Field(&'static str),
    /// The number of operations at the end is another than that read.
    #[error("the trace says that it has {said} operations, and it has {found}")]
    Count {
        /// What the last record says.
        said: u64,
        /// What was read.
        found: u64,
    },
}
