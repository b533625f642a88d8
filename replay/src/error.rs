//! Why there is no replay.

use std::io;
use std::path::PathBuf;

use protocol::VmName;
use tmem::StoreError;
use trace::ReadError;

use crate::limits::{INTERVALS_MAX, LINE_MAX_BYTES, VMS_MAX};

/// Why a replay does not begin, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A trace cannot be read.
    #[error("{path}, the trace of {vm}")]
    Trace {
        /// Whose trace it is.
        vm: VmName,
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: ReadError,
    },
    /// A VM has more than one trace.
    #[error("{0} has two traces; a VM has one")]
    Twice(VmName),
    /// There are too many VMs.
    #[error("there are {0} traces, and at most {VMS_MAX} are played together")]
    TooMany(usize),
    /// The decision log does not know a VM.
    #[error("the decision log has no VM named {vm}; it has {known}")]
    NotInLog {
        /// The VM.
        vm: VmName,
        /// Those in the log.
        known: String,
    },
    /// The recording is longer than any that is played.
    #[error(
        "{path}, the trace of {vm}, goes on for more than {INTERVALS_MAX} intervals of the policy; a longer `interval` \
         makes fewer of them"
    )]
    TooLong {
        /// Whose trace it is.
        vm: VmName,
        /// The file.
        path: PathBuf,
    },
    /// A weight is set of a VM that is not there.
    #[error("{0} is given a weight, and has no trace")]
    NotPlayed(VmName),
    /// A weight is none.
    #[error("{weight} is no weight for {vm}; a weight is 1 to 10000")]
    Weight {
        /// The VM.
        vm: VmName,
        /// What is no weight.
        weight: u32,
    },
    /// The engine does not take a VM as the decision log describes it.
    #[error("{vm}, as the decision log has it, is refused: {message}")]
    Refused {
        /// The VM.
        vm: VmName,
        /// Why.
        message: String,
    },
    /// There is no store.
    #[error("there is no store for {vm}")]
    Store {
        /// The VM.
        vm: VmName,
        /// Why.
        source: StoreError,
    },
}

/// Why a decision log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("the decision log {path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is none of a decision log.
    #[error("{path}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: BadLine,
    },
    /// There is no line.
    #[error("the decision log has no line; `tmem host --log FILE` writes one")]
    Empty,
}

/// What is wrong with a line of a decision log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It is too long.
    #[error("more than {LINE_MAX_BYTES} bytes, and no end of the line")]
    TooLong,
    /// It is no decision as the host service logs them.
    #[error("this is no logged decision: {what}, at column {column}")]
    Form {
        /// What is wrong.
        what: String,
        /// Where, counted from 1.
        column: usize,
    },
    /// Its time is before that of the line before.
    #[error(
        "its time is {0} ms before that of the line before: the clock was set back; replay the parts of the log one by one"
    )]
    Backwards(u64),
    /// A VM's name is none.
    #[error("{name:?} is no VM's name: {source}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        source: protocol::NameError,
    },
    /// A VM's weight is none.
    #[error("{0} is no weight; a weight is 1 to 10000")]
    Weight(u32),
}
