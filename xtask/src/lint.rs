//! `cargo xtask lint`: what must hold before a commit.

use std::{collections::BTreeMap, fs};

use anyhow::{Result, bail};
use xshell::cmd;

use crate::workspace;

/// Types of these crates cross from one to another, so two versions of one do not fit together.
const ONE_VERSION: [&str; 12] = [
    "acpi_tables",
    "event-manager",
    "kvm-bindings",
    "kvm-ioctls",
    "linux-loader",
    "seccompiler",
    "vhost",
    "virtio-bindings",
    "virtio-queue",
    "vm-memory",
    "vm-superio",
    "vmm-sys-util",
];

/// Runs all checks; the first that fails ends it.
pub fn run() -> Result<()> {
    let shell = workspace::shell()?;
    cmd!(shell, "cargo fmt --all --check").run()?;
    cmd!(shell, "cargo clippy --workspace --all-targets --quiet -- -D warnings").run()?;
    let doubled = doubled(&fs::read_to_string(shell.current_dir().join("Cargo.lock"))?);
    if !doubled.is_empty() {
        bail!(
            "Cargo.lock has several versions of {}; `cargo tree --duplicates` shows who wants them",
            doubled.join(", ")
        );
    }
    Ok(())
}

/// Those of [`ONE_VERSION`] that a lock file has more than once.
fn doubled(lock: &str) -> Vec<&'static str> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for name in lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')) {
        *counts.entry(name).or_default() += 1;
    }
    ONE_VERSION.into_iter().filter(|name| counts.get(name).is_some_and(|count| *count > 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_versions_of_a_crate_are_found() {
        let lock = "[[package]]\nname = \"vm-memory\"\nversion = \"0.17.0\"\n\n\
                    [[package]]\nname = \"vm-memory\"\nversion = \"0.18.0\"\n\n\
                    [[package]]\nname = \"kvm-ioctls\"\nversion = \"0.25.1\"\n";
        assert_eq!(doubled(lock), ["vm-memory"]);
    }

    #[test]
    fn several_versions_of_other_crates_are_allowed() {
        assert!(doubled("name = \"syn\"\nname = \"syn\"\n").is_empty());
    }
}
