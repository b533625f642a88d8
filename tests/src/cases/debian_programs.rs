//! Programs of Debian's in a guest that is short of memory: a package compiled again, stress-ng.

use super::debian::{COMPILE_PATIENCE, MEMORY_MIB, count, swapped_since};
use super::debian_endings::{fill, store_is_in_use};
use crate::case::{Case, Runs, System};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use std::fs;

pub(super) const CASE: Case = Case {
    name: "debian-programs",
    shows: "a package compiled beside a load of 1.2 x RAM, bit by bit the same; stress-ng --verify of 1.3 x RAM",
    runs: Runs::on_debian(System::WITH_PROGRAMS),
    host,
    guest,
};

/// What DKMS built when the disk was made, on a machine with memory enough.
const MODULE: &str = "dm-writeboost";

fn host(host: &mut Host) -> Result<()> {
    let spec = Spec { memory_mib: MEMORY_MIB, patience: COMPILE_PATIENCE, ..Spec::default() };
    let mut vm = host.start(&spec.debian(host))?;
    store_is_in_use(&mut vm)?;
    let compiled = swapped_since(None, &mut vm, host, "compiled")?;
    swapped_since(Some(&compiled), &mut vm, host, "stressed")?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.wait_for_swap("/dev/tmem0")?;
    let mut load = fill(guest)?;
    compile_again(guest)?;
    count(guest, "compiled")?;
    load.go()?;
    load.finish()?;

    // A worker that finds a wrong byte makes it fail.
    let bytes = format!("{}k", guest.meminfo_kib("MemTotal")? * 13 / 10);
    let vm = ["--vm", "1", "--vm-bytes", &bytes, "--vm-method", "rand-set", "--verify", "--timeout", "120"];
    guest.command("stress-ng", &vm)?;
    count(guest, "stressed")
}

/// Has DKMS build a module once more, now that memory is short: the compiler must write the same bytes.
fn compile_again(guest: &Guest) -> Result<()> {
    let file = guest.command("modinfo", &["--field", "filename", MODULE])?;
    let before = fs::read(file.trim())?;
    let status = guest.command("dkms", &["status", "-m", MODULE])?;
    let version = status.split(['/', ',']).nth(1).context("dkms knows no version of it")?.trim().to_owned();
    let of = format!("{MODULE}/{version}");
    guest.command("dkms", &["build", "--force", &of])?;
    guest.command("dkms", &["install", "--force", &of])?;
    ensure!(fs::read(file.trim())? == before, "the compiler wrote other bytes");
    Ok(())
}
