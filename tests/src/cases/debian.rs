//! A Debian like a user's own: its kernel and initrd, systemd, a root disk.

use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};
use serde_json::json;
use std::fs;

pub(super) const LOGIN_CASE: Case = Case {
    name: "debian-login",
    shows: "Debian boots to its login; root logs in at the console; the power button shuts it down",
    runs: Runs::ON_DEBIAN,
    host: login_host,
    guest: login_guest,
};

/// Memory of a guest with systemd, in MiB.
pub(super) const MEMORY_MIB: u32 = 384;

fn login_host(host: &mut Host) -> Result<()> {
    let spec = Spec { memory_mib: MEMORY_MIB, cmdline: "tmem.login".to_owned(), ..Spec::default() };
    let mut vm = host.start(&spec.debian(host))?;
    let asked = vm.expect_prompt("login: ")?;
    ensure!(asked.starts_with("debian"), "asked for a login with {asked}");
    vm.say("root")?;
    vm.expect_prompt("# ")?;
    vm.say("mount LABEL=programs /mnt && /mnt/tmem-cases guest")?;
    let seen = vm.expect("logged-in")?;
    ensure!(seen["terminal"] == "/dev/ttyS0", "the shell is on {seen}");
    host.note(seen["system"].as_str().unwrap_or_default().to_owned());
    vm.go()?;
    vm.expect(crate::marker::DONE)?;
    vm.tmem("stop", &[])?;
    let status = vm.wait()?;
    ensure!(status.code() == Some(0), "after the power button: {status}\n{}", vm.console_tail());
    Ok(())
}

fn login_guest(guest: &mut Guest) -> Result<()> {
    let terminal = fs::read_link("/proc/self/fd/0")?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let system = fs::read_to_string("/etc/os-release")?;
    let system =
        system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default().trim_matches('"');
    let system = format!("{system}, Linux {}", release.trim());
    guest.sync("logged-in", &json!({ "terminal": terminal, "system": system }))?;
    Ok(())
}
