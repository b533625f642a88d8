//! `[share]`: how the pool is shared out.

use serde::{Deserialize, Serialize};

use crate::value::{ByteSize, Percent, Period};

/// `[share]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "the table [share]")]
pub struct Share {
    /// What entitlements follow
    pub algorithm: Algorithm,
    /// An idle page costs 1/(1-tax) times an active one. 0% to 99%
    pub idle_tax: Percent,
    /// A page that was not asked for in so long is idle
    pub idle_after: Period,
    /// Part of what a VM lacks that it is given in each interval
    pub grow_step: Percent,
    /// Part of what a VM has too much that it gives back in each interval
    pub shrink_step: Percent,
    /// Smaller changes are not made
    pub min_change: ByteSize,
}

/// What entitlements follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// First come, first served: what a VM holds it keeps
    Greedy,
    /// The same for every VM
    Static,
    /// By weight and idle tax
    Weighted,
    /// By weight and idle tax, first to those who use it
    Demand,
}
