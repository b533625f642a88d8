//! `[dedup]`: which equal pages are stored once.

use serde::{Deserialize, Serialize};

/// `[dedup]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "the table [dedup]")]
pub struct Dedup {
    /// Which equal pages are stored once
    pub scope: DedupScope,
}

/// Which equal pages are stored once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DedupScope {
    /// None
    Off,
    /// Those of one VM; bytes are always compared
    Vm,
}
