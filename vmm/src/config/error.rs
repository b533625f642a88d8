//! What can be wrong with a configuration, and where it was said.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use policy::ByteSize;
use protocol::NameError;

use super::{MacAddress, TapProblem};

/// A configuration that cannot be run: the place, the problem and, where there is one, the host's error as source.
#[derive(Debug)]
pub struct ConfigError(Box<(Place, Problem)>);

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1; `None` where the problem is that something is not there.
        line: Option<usize>,
        /// The key, with the keys of the tables around it; `None` where the problem is not one key's.
        key: Option<String>,
    },
    /// In a flag of the command line.
    Flag(&'static str),
}

/// What is wrong. The text says what would be right.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// the configuration file cannot be read
    #[error("the configuration file cannot be read")]
    Unreadable(#[source] io::Error),
    /// the configuration file is too long
    #[error("the configuration file has more than {max_bytes} bytes")]
    TooLong {
        /// Longest configuration file in bytes.
        max_bytes: u64,
    },
    /// the text is not TOML, or not of the schema
    #[error("{0}")]
    Text(String),
    /// a key that must be there is not
    #[error("is missing; write for example {example}")]
    Missing {
        /// What could be written.
        example: &'static str,
    },
    /// the VM's name cannot be used
    #[error("{0}; set `name`")]
    Name(NameError),
    /// a number is out of range
    #[error("{value} is out of range; allowed are {allowed}")]
    OutOfRange {
        /// The number, or the length of the text.
        value: i64,
        /// The range in words.
        allowed: &'static str,
    },
    /// the memory is too small or not made of whole pages
    #[error("{0} is not possible; a guest has at least 16MiB, and whole pages of 4KiB")]
    MemoryShape(ByteSize),
    /// the memory is more than the host has
    #[error("{asked} is more than the {host} of memory that this host has")]
    BeyondHost {
        /// What the VM would need.
        asked: ByteSize,
        /// What the host has.
        host: ByteSize,
    },
    /// a percentage of the memory is too large
    #[error("this percentage of the guest's memory is more than any machine has")]
    PercentTooLarge,
    /// there are two who would say what the store may hold
    #[error("a service decides by its own policy; write either `service` or `policy`")]
    ServiceAndPolicy,
    /// a policy is not valid
    #[error("{0}; `tmem policy check` shows all of it")]
    Policy(String),
    /// a path is longer than a socket's may be
    #[error("the path of a socket has at most {max_bytes} bytes")]
    SocketPath {
        /// Longest path in bytes.
        max_bytes: usize,
    },
    /// the reservation is above the limit
    #[error("a reservation of {reservation} is above the limit of {limit}")]
    ReservationAboveLimit {
        /// The reservation.
        reservation: ByteSize,
        /// The limit.
        limit: ByteSize,
    },
    /// the staging buffer is larger than makes sense
    #[error("a staging buffer of {asked} is more than the {max} that there can be; pages wait in it uncompressed")]
    StagingTooLarge {
        /// The buffer.
        asked: ByteSize,
        /// The largest.
        max: ByteSize,
    },
    /// a text has characters that cannot be passed on
    #[error("{character:?} is not allowed here; allowed are printable ASCII characters")]
    Character {
        /// The first such character.
        character: char,
    },
    /// the console is none of those that exist
    #[error("{0:?} is no console; write \"stdio\", \"none\" or \"file:PATH\"")]
    Console(String),
    /// there is no store whose operations could be recorded
    #[error("this VM has no store to trace: `[tmem]` says `enabled = false`")]
    NothingToTrace,
    /// there are too many disks
    #[error("this is disk number {0}; a VM has at most {max}", max = super::DISKS_MAX)]
    TooManyDisks(usize),
    /// there are too many network cards
    #[error("this is network card number {0}; a VM has at most {max}", max = super::NETS_MAX)]
    TooManyNets(usize),
    /// two network cards have one address
    #[error("{0} is the address of an earlier network card of this VM; each card has its own")]
    MacTwice(MacAddress),
    /// a tap cannot be used
    #[error(transparent)]
    Tap(TapProblem),
    /// a file is not there
    #[error("{0} does not exist")]
    NotFound(PathBuf),
    /// a file is of the wrong type
    #[error("{path} is {found}; {wanted} is needed")]
    WrongType {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// a file cannot be opened
    #[error("{path} cannot be opened for {purpose}{hint}")]
    Open {
        /// The file.
        path: PathBuf,
        /// `reading` or `reading and writing`.
        purpose: &'static str,
        /// What else could be done, or nothing.
        hint: &'static str,
        /// The host's answer.
        source: io::Error,
    },
    /// a file cannot be read
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// The host's answer.
        source: io::Error,
    },
    /// a disk is in use
    #[error("{0} is busy: it is mounted, or another VM or program has locked it")]
    Busy(PathBuf),
    /// a disk is listed twice
    #[error("{0} is a disk of this VM already; the same file can be used twice only with `read_only = true` on both")]
    DiskTwice(PathBuf),
    /// a disk's size is not made of whole sectors
    #[error("{path} has {size_bytes} bytes; a disk has a multiple of 512 bytes, and at least one")]
    DiskSize {
        /// The disk.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
    },
    /// the file system has no direct I/O
    #[error("the file system of {0} does not do direct I/O; leave `direct` away")]
    NoDirect(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, key } => {
                write!(f, "{}", path.display())?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                match key {
                    Some(key) => write!(f, ": `{key}`"),
                    None => Ok(()),
                }
            }
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

impl ConfigError {
    pub(super) fn new(place: Place, problem: Problem) -> Self {
        Self(Box::new((place, problem)))
    }

    /// Where it was said.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.0
    }

    /// What is wrong with it.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0.1
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.problem())
    }
}

impl Error for ConfigError {
    /// The host's error. The problem itself is part of this error's own text.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem().source()
    }
}
