//! `[compression]`: how pages are compressed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::value::{Percent, PercentError, Period};

/// `[compression]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "the table [compression]")]
pub struct Compression {
    /// For pages that are put
    pub algorithm: CompressionAlgorithm,
    /// A page that would take more than this of a page's size is rejected; "off": it is kept as it is
    pub reject_above: RejectAbove,
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

/// `compression.recompress`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table like { idle = \"60s\" }")]
pub struct Recompress {
    /// A page that was not asked for in so long is compressed once more; "0s": never
    pub idle: Period,
}

/// The compressed size above which a page is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectAbove {
    /// No page is rejected for its size.
    Off,
    /// Pages that would take more than this of a page's size.
    Size(Percent),
}

impl FromStr for RejectAbove {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::Size) }
    }
}

impl fmt::Display for RejectAbove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Size(percent) => percent.fmt(f),
        }
    }
}

crate::value::quoted!(
    RejectAbove,
    "\"off\", or a percentage in quotes, like \"75%\"",
    "^(off|[0-9]+([.][0-9]{1,2})?%)$"
);
