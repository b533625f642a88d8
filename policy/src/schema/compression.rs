//! `[compression]`: how pages are compressed.

use serde::{Deserialize, Serialize};

use crate::value::{PercentOrOff, Period};

/// `[compression]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "the table [compression]")]
pub struct Compression {
    /// For pages that are put
    pub algorithm: CompressionAlgorithm,
    /// A page that would take more than this of a page's size is rejected; "off": it is kept as it is
    pub reject_above: PercentOrOff,
    /// Which pages are accepted for what those that are stored take
    pub accept: Accept,
    /// Compressing idle pages once more, smaller and slower
    pub recompress: Recompress,
}

/// For pages that are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CompressionAlgorithm {
    /// As fast as LZ4, and smaller
    PageLz,
    /// Fast
    Lz4,
    /// Small
    Zstd,
}

/// Which pages are accepted for what those that are stored take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// All
    Any,
    /// While those that are stored take more than five eighths of their size on average, only those that take less than
    /// that average
    BetterThanMean,
}

/// `compression.recompress`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table like { idle = \"60s\" }")]
pub struct Recompress {
    /// A page that was not asked for in so long is compressed once more; "0s": never
    pub idle: Period,
}
