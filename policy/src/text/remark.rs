//! What is said about a policy, and where.

use std::error::Error;
use std::fmt;

use super::source::Place;

/// Something about a policy, at the place where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark<W> {
    /// Where.
    pub place: Place,
    /// What.
    pub what: W,
}

/// Why a text is no policy.
pub type Mistake = Remark<Problem>;

/// What is allowed and surely not meant.
pub type Warning = Remark<Concern>;

/// What is wrong. The text says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// the text is not TOML, or not of the schema
    #[error("{0}")]
    Text(String),
    /// a key of a later version
    #[error("is not in this version; leave it away")]
    LaterKey,
    /// a value of a later version
    #[error("{0:?} is not in this version")]
    LaterValue(&'static str),
    /// a rule of the schema is broken
    #[error("{0}")]
    Rule(String),
}

/// What is odd, and what would be better.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Concern(pub String);

impl<W: fmt::Display> fmt::Display for Remark<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl<W: fmt::Debug + fmt::Display> Error for Remark<W> {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)?;
        match &self.key {
            Some(key) => write!(f, ": `{key}`"),
            None => Ok(()),
        }
    }
}
