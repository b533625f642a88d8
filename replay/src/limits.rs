//! The most that is played or read.

use std::ops::RangeInclusive;

/// Most VMs that are played together: each store reserves addresses, and each trace is an open file.
pub const VMS_MAX: usize = 256;

/// Most intervals that are played, which at the default interval is eleven days.
pub const INTERVALS_MAX: u64 = 1_000_000;

/// Weights that there are.
pub(crate) const WEIGHTS: RangeInclusive<u32> = 1..=10_000;

/// Longest line that is read: some twenty thousand VMs.
pub const LINE_MAX_BYTES: u64 = 32 << 20;
