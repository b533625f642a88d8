//! `[pool]`: the memory of all stores together.

use serde::{Deserialize, Serialize};

use crate::value::{PercentOrOff, SizeOrPercent};

/// `[pool]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "the table [pool]")]
pub struct Pool {
    /// Most memory of all stores together. Percent of MemTotal
    pub size_max: SizeOrPercent,
    /// What the pool does not shrink below. Percent of MemTotal
    pub size_min: SizeOrPercent,
    /// Which ephemeral pages go first
    pub eviction: Eviction,
    /// A store that was full takes new persistent pages again once it holds no more than this of that; "off": whenever one
    /// fits
    pub accept_threshold: PercentOrOff,
}

/// Which ephemeral pages go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// Those that the guest took back, then the oldest: for guests that put a page when they drop it
    UsedFirst,
    /// A page that was used is passed over, as often as it was used, up to three times
    SecondChance,
    /// The oldest
    Fifo,
}
