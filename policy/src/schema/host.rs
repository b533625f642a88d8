//! `[host]`: what the host keeps for itself, and when it is short.

use serde::{Deserialize, Serialize};

use crate::value::{Percent, Period, Pressure, SizeOrPercent};

/// `[host]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "the table [host]")]
pub struct Host {
    /// For the host's own programs and the VMMs: never lent to the pool or to guests. Percent of MemTotal
    pub reserve: SizeOrPercent,
    /// A VM starts only while the memory of all VMs together is at most this. Percent of MemTotal
    pub overcommit_limit: Percent,
    /// Start a VM only if its reservations can be met at once
    pub claim: bool,
    /// MemAvailable at which the host is short
    pub watermarks: Watermarks,
    /// Memory pressure at which the host is short
    pub psi: Psi,
}

/// `[host.watermarks]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "the table [host.watermarks]")]
pub struct Watermarks {
    /// Below it the pool stops to grow and idle pages are recompressed. Percent of MemTotal
    pub clear: SizeOrPercent,
    /// Below it VMs above their entitlement give ephemeral pages back at once. Percent of MemTotal
    pub soft: SizeOrPercent,
    /// Below it ephemeral puts are rejected. Percent of MemTotal
    pub hard: SizeOrPercent,
    /// Below it every put above a reservation is rejected, and no VM starts. Percent of MemTotal
    pub low: SizeOrPercent,
    /// A state is left only above its mark and this. Percent of MemTotal
    pub hysteresis: SizeOrPercent,
    /// A state is left only after so long above
    pub hold: Period,
}

/// `[host.psi]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "the table [host.psi]")]
pub struct Psi {
    /// Pressure at which the host is at least in state soft
    pub soft: PsiMark,
    /// Pressure at which the host is at least in state hard
    pub hard: PsiMark,
}

/// Pressure that raises the host's state: any of its marks reached, for so long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table like { some_avg10 = 5.0, for = \"10s\" }")]
pub struct PsiMark {
    /// Percent of the last 10 seconds in which some task waited for memory
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub some_avg10: Option<Pressure>,
    /// Percent of the last 10 seconds in which all tasks waited for memory
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_avg10: Option<Pressure>,
    /// For so long
    pub r#for: Period,
}
