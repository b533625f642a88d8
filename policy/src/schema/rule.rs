//! `[[vm]]`: which VM is of which class.

use serde::{Deserialize, Serialize};

use super::ClassName;
use crate::value::Pattern;

/// `[[vm]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table [[vm]]")]
pub struct Rule {
    /// The VMs it is for: all that is written must match
    #[serde(rename = "match", default)]
    pub matching: Match,
    /// Their class
    pub class: ClassName,
}

/// `vm.match`. A rule with `uid` or `cgroup` is believed, because the kernel vouches for these. `name` and `label` are
/// what the VM's own process says: a rule with nothing else may lower a VM's share and never raise it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table like { uid = 1000, name = \"db-*\" }")]
pub struct Match {
    /// User id of the VM's process
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Cgroup of the VM's process, with * and ?, like "/machine.slice/*"
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Pattern>,
    /// The VM's name, with * and ?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Pattern>,
    /// The VM's label, with * and ?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Pattern>,
}

impl Match {
    /// Whether nothing is written, which matches no VM.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it asks for something that the kernel vouches for.
    #[must_use]
    pub fn is_vouched(&self) -> bool {
        self.uid.is_some() || self.cgroup.is_some()
    }
}
