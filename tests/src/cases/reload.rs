//! The module comes and goes with its swap device; each life begins with an empty store.

use super::exactness::host_counter;
use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};
use serde_json::Value;

pub(super) const CASE: Case = Case {
    name: "reload",
    shows: "unload and reload; unloading in use is refused; old pools are gone",
    runs: Runs::ON_6_1.and_debug(),
    host,
    guest,
};

const LIVES: u32 = 3;

fn host(host: &mut Host) -> Result<()> {
    let mut vm = host.start(&Spec { memory_mib: 128, ..Spec::default() })?;
    let mut empty = None;
    for _ in 0..LIVES {
        vm.expect("loaded")?;
        let report = vm.show()?;
        let resident = host_counter(&report, "store", "resident_bytes")?;
        ensure!(host_counter(&report, "store", "persistent_pages")? == 0, "pages of an earlier life are left");
        ensure!(*empty.get_or_insert(resident) == resident, "{resident} bytes are resident, {empty:?} at first");
        vm.go()?;
    }
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    for _ in 0..LIVES {
        guest.load_driver(&[])?;
        guest.sync("loaded", &Value::Null)?;
        let swap = guest.swap_on("/dev/tmem0")?;
        guest.load(&["--size", &guest.percent_of_memory(120)?, "--passes", "0"])?;
        ensure!(guest.unload_driver().is_err(), "the module went while its device was in use");
        swap.off()?;
        guest.unload_driver()?;
    }
    Ok(())
}
