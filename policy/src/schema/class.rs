//! `[class.NAME]`: kinds of VMs.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::value::{Percent, SizeOrPercent};

/// Longest name of a class in bytes.
const NAME_MAX_BYTES: usize = 64;

/// `[class.NAME]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table of a class, like [class.gold]")]
pub struct Class {
    /// Share of what no reservation takes, against the weights of the others: 1 to 10000
    #[cfg_attr(test, schemars(range(min = 1, max = 10000)))]
    pub weight: u32,
    /// The guest's memory
    pub memory: ClassMemory,
    /// The VM's store
    pub tmem: ClassTmem,
}

/// `class.NAME.memory`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table like { reservation = \"25%\" }")]
pub struct ClassMemory {
    /// What the host must have for the guest's memory. Percent of the VM's memory
    pub reservation: SizeOrPercent,
}

/// `class.NAME.tmem`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table like { reservation = \"0MiB\", limit = \"50%\" }")]
pub struct ClassTmem {
    /// What is never taken from the VM's store. Percent of the VM's memory
    pub reservation: SizeOrPercent,
    /// What the VM's store never exceeds. Percent of the largest pool
    pub limit: SizeOrPercent,
    /// How much of what its store may hold may be ephemeral pages: 0% to 100%
    pub ephemeral: Percent,
}

impl Class {
    /// Whether it gives less of anything than another. Where a size meets a percentage that is not known, and it may.
    pub(crate) fn lowers(&self, base: &Self) -> bool {
        let less = |mine: SizeOrPercent, theirs: SizeOrPercent| match (mine, theirs) {
            (SizeOrPercent::Bytes(mine), SizeOrPercent::Bytes(theirs)) => mine < theirs,
            (SizeOrPercent::Percent(mine), SizeOrPercent::Percent(theirs)) => mine < theirs,
            _ => true,
        };
        self.weight < base.weight
            || less(self.memory.reservation, base.memory.reservation)
            || less(self.tmem.reservation, base.tmem.reservation)
            || less(self.tmem.limit, base.tmem.limit)
            || self.tmem.ephemeral < base.tmem.ephemeral
    }
}

/// The name of a class: `[A-Za-z0-9_-]{1,64}`, so that it needs no quotes in the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct ClassName(String);

/// Why a text is no name of a class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a class; write 1 to 64 of A-Z a-z 0-9 _ -")]
pub struct ClassNameError(String);

impl ClassName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ClassName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for ClassName {
    type Err = ClassNameError;

    fn from_str(text: &str) -> Result<Self, ClassNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if text.is_empty() || text.len() > NAME_MAX_BYTES || !text.bytes().all(allowed) {
            return Err(ClassNameError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ClassName {
    type Error = ClassNameError;

    fn try_from(text: String) -> Result<Self, ClassNameError> {
        text.parse()
    }
}

impl From<ClassName> for String {
    fn from(name: ClassName) -> Self {
        name.0
    }
}

impl Borrow<str> for ClassName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
