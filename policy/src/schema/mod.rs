//! The policy as its file has it: one struct a table, one field a key, every default filled in.

mod class;
mod compression;
mod dedup;
mod host;
#[cfg(test)]
mod json;
mod pool;
mod rule;
mod share;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use class::{Class, ClassMemory, ClassName, ClassNameError, ClassTmem};
pub use compression::{Accept, Compression, CompressionAlgorithm, Recompress};
pub use dedup::{Dedup, DedupScope};
pub use host::{Host, Psi, PsiMark, Watermarks};
pub use pool::{Eviction, Pool};
pub use rule::{Match, Rule};
pub use share::{Algorithm, Share};

use crate::text::read;
use crate::value::Period;

/// The version of the schema that this build reads.
pub const SCHEMA_VERSION: i64 = 1;

/// JSON Schema of a policy file (draft 2020-12), for editors. It has every key with its form and default; rules that
/// need more than one value are told by [`read`] alone.
pub const JSON_SCHEMA: &str = include_str!("../../policy.schema.json");

/// A host's policy: how memory is shared out among its VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a policy")]
pub struct Policy {
    /// Version of the schema: 1
    pub version: i64,
    /// Whether decisions are acted on
    pub mode: Mode,
    /// How often is sampled and decided: "100ms" to "60s"
    pub interval: Period,
    /// Statistics older than this are ignored
    pub stats_stale_after: Period,
    /// The host as a whole
    pub host: Host,
    /// The memory of all stores together
    pub pool: Pool,
    /// How the pool is shared out
    pub share: Share,
    /// How pages are compressed
    pub compression: Compression,
    /// Which equal pages are stored once
    pub dedup: Dedup,
    /// Kinds of VMs. What a class leaves away it has from `default`
    pub class: BTreeMap<ClassName, Class>,
    /// Which VM is of which class: the first rule that matches; none: class `default`
    #[serde(default)]
    pub vm: Vec<Rule>,
}

/// Whether decisions are acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Act on every decision
    Enforce,
    /// Compute and log every decision, act on none
    Observe,
}

impl Default for Policy {
    /// What an empty file means.
    fn default() -> Self {
        // Where nothing is written nothing is wrong, on a host of any size.
        read(Vec::new(), 1 << 30).policy.expect("the defaults are a policy, which a test of theirs shows")
    }
}

impl Policy {
    /// The policy as a file that says everything and depends on no default.
    ///
    /// # Errors
    ///
    /// A number that TOML cannot express; no policy that was read has one.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The class of this name, or else `default`, which every policy has.
    #[must_use]
    pub fn class(&self, name: &ClassName) -> &Class {
        self.class.get(name).unwrap_or_else(|| self.default_class())
    }

    /// The class of VMs that no rule matches.
    #[must_use]
    pub fn default_class(&self) -> &Class {
        &self.class[&ClassName::default()]
    }
}
