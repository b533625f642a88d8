//! What this host can and cannot do for a VM, found out by trying, and how to mend what it cannot.

mod kvm;
mod memory;
mod network;

use std::fs;
use std::path::Path;

use serde::Serialize;

/// What is known of one thing that a VM needs or likes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The thing, in a word or two.
    pub thing: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What was found.
    pub found: String,
    /// What to do about it; nothing where there is nothing to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// As it should be.
    Good,
    /// VMs run, but not as well as they could, or not with everything.
    Weak,
    /// No VM runs.
    Bad,
}

impl Finding {
    fn good(thing: &'static str, found: impl Into<String>) -> Self {
        Self { thing, standing: Standing::Good, found: found.into(), mend: None }
    }

    fn weak(thing: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { thing, standing: Standing::Weak, found: found.into(), mend: Some(mend.into()) }
    }

    fn bad(thing: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { thing, standing: Standing::Bad, found: found.into(), mend: Some(mend.into()) }
    }
}

/// Looks at this host. Makes a VM of a few instructions and a store for a moment; changes nothing.
#[must_use]
pub fn check_host() -> Vec<Finding> {
    let mut findings = kvm::findings();
    findings.extend(memory::findings());
    findings.extend(network::findings());
    findings
}

/// A small file of `/proc` or `/sys`; `None` where this kernel does not have it.
fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The error with its causes, in one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
