//! `kill -9` of `tmem run` in the middle of the guest's puts leaves no file, lock or socket.

use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

pub(super) const CASE: Case = Case {
    name: "killed",
    shows: "SIGKILL of tmem run mid-put leaves no file, lock or socket",
    runs: Runs::OF_THE_HOST,
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    let disk = host.disk("backing", 64 << 20)?;
    let spec = Spec { memory_mib: 128, ..Spec::default() }.disk(disk);
    let mut vm = host.start(&spec)?;
    vm.expect("swapping")?;
    let name = vm.name().to_owned();
    let before = files(host.dir())?;
    vm.kill()?;
    ensure!(files(host.dir())? == before, "files appeared or vanished");
    let sockets = fs::read_to_string("/proc/net/unix")?;
    ensure!(!sockets.contains(&name), "its control socket is left");
    let list = String::from_utf8(host.tmem(&["list"])?.stdout)?;
    ensure!(!list.contains(&name), "tmem list still knows it: {list}");

    // The disk is not locked, and the name is free.
    let mut again = host.start(&spec)?;
    again.expect("swapping")?;
    again.kill()
}

fn files(directory: &Path) -> Result<BTreeSet<String>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let _swap = guest.swap_on("/dev/tmem0")?;
    let load = guest.start_load(&["--size", &guest.percent_of_memory(140)?, "--passes", "1000"])?;
    guest.tell("swapping", &Value::Null);
    load.finish().map(drop)
}
