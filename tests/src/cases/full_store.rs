//! No backing disk and a store that is full: the kernel survives the write errors, whatever is still alive is whole,
//! and swap works again once there is room.

use super::exactness::{Headers, both_sides_agree, host_sum, swap_device_is_exact};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec, Vm};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const CASE: Case = Case {
    name: "full-store",
    shows: "no room and no disk: no oops, no hang; swap works again when there is room",
    runs: Runs::ON_6_1.and_debug(),
    host,
    guest,
};

/// How long the hog runs against a store that is full.
const REFUSED_TIME: Duration = Duration::from_secs(30);
/// Until it is, on a kernel that checks itself.
const FULL_WITHIN: Duration = Duration::from_secs(300);
/// Puts that are refused by then; the driver backs off after 64.
const REFUSED: u64 = 100;

fn host(host: &mut Host) -> Result<()> {
    // 5.10 logs every failed write, as an alert; on a serial port that is all it would do.
    let cmdline = "loglevel=1".to_owned();
    let mut vm = host.start(&Spec { memory_mib: 128, limit: Some("10%".to_owned()), cmdline, ..Spec::default() })?;
    vm.expect("hogs")?;
    wait_until_refused(&vm)?;
    thread::sleep(REFUSED_TIME);
    vm.go()?;
    let counters: Counters = serde_json::from_value(vm.expect("full")?)?;
    let report = vm.show()?;
    both_sides_agree(&counters, &report)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    let rejected = host_sum(&report, "store", "puts_rejected_");
    let backed_off = counters.driver("puts_backed_off")?;
    ensure!(backed_off > 0, "{rejected} rejections, and the driver never backed off");
    host.note(format!("{rejected} puts rejected, {backed_off} backed off"));
    vm.tmem("set", &["--limit", "640MiB"])?;
    vm.go()?;
    vm.expect("roomy")?;
    let after = host_sum(&vm.show()?, "store", "puts_rejected_");
    ensure!(after == rejected, "{} puts were rejected where there is room", after - rejected);
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let mut small = guest.start_load(&["--size", &guest.percent_of_memory(10)?, "--hold", "line", "--seed", "5"])?;
    small.wait_until_holding()?;
    // Under the store's refusals the kernel tries again and again before its OOM killer takes the hog, if it does. Whoever
    // asks for memory meanwhile does the same: so this process sleeps, and the host watches.
    let hog = guest.start_load(&["--size", &guest.percent_of_memory(160)?])?;
    guest.sync("hogs", &Value::Null)?;
    hog.finish_or_kill(Duration::ZERO)?;
    guest.sync("full", &json!(Counters::settled()?))?;
    guest.load(&["--size", &guest.percent_of_memory(130)?, "--passes", "0"])?;
    small.go()?;
    small.finish()?;
    guest.sync("roomy", &Value::Null)?;
    swap.off()
}

fn wait_until_refused(vm: &Vm) -> Result<()> {
    let deadline = Instant::now() + FULL_WITHIN;
    while host_sum(&vm.show()?, "store", "puts_rejected_") <= REFUSED {
        ensure!(Instant::now() < deadline, "no {REFUSED} puts refused within {FULL_WITHIN:?}: the case shows nothing");
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
