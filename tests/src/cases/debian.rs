//! A Debian like a user's own: its kernel and initrd, systemd, a root disk, a network, and the driver as a package.

use super::exactness::both_sides_agree;
use crate::case::{Case, Runs, System};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec, Vm};
use crate::marker;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;
use std::time::Duration;

pub(super) const CASE: Case = Case {
    name: "debian",
    shows: "login on the console and by ssh; driver loaded by its id, swap on; 1.3 x RAM verified; power button",
    // Each suite: bookworm, trixie, sid.
    runs: Runs { soak: &["6.1", "6.12", "sid"], ..Runs::on_debian(System::SMALL) },
    host,
    guest,
};

/// Memory of a guest with systemd, in MiB.
pub(super) const MEMORY_MIB: u32 = 256;
const AGAIN: &str = "again";
const MOST_COUNTS: u32 = 5;
/// How long a step may take in which something is compiled: minutes under emulation.
pub(super) const COMPILE_PATIENCE: Duration = Duration::from_secs(1500);

fn host(host: &mut Host) -> Result<()> {
    host.own_network()?;
    let tap = host.tap(0)?;
    let cmdline = format!("tmem.login {}", tap.kernel_option());
    let spec = Spec { memory_mib: MEMORY_MIB, cmdline, ..Spec::default() }.net(&tap);
    let mut vm = host.start(&spec.debian(host))?;
    let asked = vm.expect_prompt("login: ")?;
    ensure!(asked.starts_with("debian"), "asked for a login with {asked}");
    vm.say("root")?;
    vm.expect_prompt("# ")?;
    vm.say("mount LABEL=programs /mnt && /mnt/tmem-cases guest")?;
    let seen = vm.expect("logged-in")?;
    ensure!(seen["terminal"] == "/dev/ttyS0", "the shell is on {seen}");
    let system = seen["system"].as_str().unwrap_or_default().to_owned();
    let release = host.ssh(&tap.guest, "uname -r")?;
    ensure!(system.ends_with(release.trim()), "{system} on the console, {release} by ssh");
    host.note(format!("{system}, also by ssh"));
    vm.go()?;
    let counters = agreed(&mut vm, "ran")?;
    ensure!(counters.pswpout > 10_000, "only {} pages were swapped out", counters.pswpout);
    host.note(format!("{} pages out, {} in", counters.pswpout, counters.pswpin));
    vm.expect(marker::DONE)?;
    vm.tmem("stop", &[])?;
    let status = vm.wait()?;
    ensure!(status.code() == Some(0), "after the power button: {status}\n{}", vm.console_tail());
    Ok(())
}

/// Asks for the guest's counters under that name until they are the host's too: other than in an initramfs there are
/// always programs that run, and may swap between one count and the other.
pub(super) fn agreed(vm: &mut Vm, name: &str) -> Result<Counters> {
    let mut counts = 1;
    loop {
        let counters: Counters = serde_json::from_value(vm.expect(name)?)?;
        match both_sides_agree(&counters, &vm.show()?) {
            Ok(()) => {
                vm.go()?;
                return Ok(counters);
            }
            Err(error) if counts == MOST_COUNTS => return Err(error),
            Err(_) => vm.say(AGAIN)?,
        }
        counts += 1;
    }
}

/// What both sides have counted once a step is done, in which pages must have gone out and come back.
pub(super) fn swapped_since(before: Option<&Counters>, vm: &mut Vm, host: &mut Host, step: &str) -> Result<Counters> {
    let counters = agreed(vm, step).with_context(|| step.to_owned())?;
    let (out, back) = before.map_or((0, 0), |before| (before.pswpout, before.pswpin));
    let (out, back) = (counters.pswpout - out, counters.pswpin - back);
    host.note(format!("{step}: {out} pages out, {back} in"));
    ensure!(out + back > 5_000, "{step}: {out} pages out, {back} in: it shows nothing");
    Ok(counters)
}

/// The guest half of [`agreed`].
pub(super) fn count(guest: &Guest, name: &str) -> Result<()> {
    while guest.sync(name, &json!(Counters::settled()?))? == AGAIN {}
    Ok(())
}

fn guest(guest: &mut Guest) -> Result<()> {
    let terminal = fs::read_link("/proc/self/fd/0")?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let system = fs::read_to_string("/etc/os-release")?;
    let system =
        system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default().trim_matches('"');
    let system = format!("{system}, Linux {}", release.trim());
    guest.sync("logged-in", &json!({ "terminal": terminal, "system": system }))?;

    let swap = guest.wait_for_swap("/dev/tmem0")?;
    ensure!(swap.priority == 1000, "{swap:?}");
    let file = guest.command("modinfo", &["--field", "filename", "tmem"])?;
    ensure!(file.contains("/updates/"), "the driver is {file}");
    guest.load(&["--size", &guest.percent_of_memory(130)?, "--passes", "0"])?;
    count(guest, "ran")?;
    // The power button finds the store in use.
    guest.start_load(&["--size", &guest.percent_of_memory(120)?, "--passes", "1000"])?;
    Ok(())
}
