//! No backing disk and a store that is full: the kernel survives the write errors, whatever is still alive is whole,
//! and swap works again once there is room.

use super::exactness::{Headers, both_sides_agree, host_sum, swap_device_is_exact};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
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

fn host(host: &mut Host) -> Result<()> {
    // 5.10 logs every failed write, as an alert; on a serial port that is all it would do.
    let cmdline = "loglevel=1".to_owned();
    let mut vm = host.start(&Spec { memory_mib: 128, limit: Some("10%".to_owned()), cmdline, ..Spec::default() })?;
    let counters: Counters = serde_json::from_value(vm.expect("full")?)?;
    let report = vm.show()?;
    both_sides_agree(&counters, &report)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    let rejected = host_sum(&report, "store", "puts_rejected_");
    ensure!(rejected > 100, "only {rejected} puts were rejected: the case shows nothing");
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
    // Under the store's refusals the kernel tries again and again before its OOM killer takes the hog, if it does.
    let hog = guest.start_load(&["--size", &guest.percent_of_memory(160)?])?;
    wait_until_refused()?;
    hog.finish_or_kill(REFUSED_TIME)?;
    guest.sync("full", &json!(Counters::settled()?))?;
    guest.load(&["--size", &guest.percent_of_memory(130)?, "--passes", "0"])?;
    small.go()?;
    small.finish()?;
    guest.sync("roomy", &Value::Null)?;
    swap.off()
}

/// Waits until the driver has met so many refusals that it backs off.
fn wait_until_refused() -> Result<()> {
    let deadline = Instant::now() + FULL_WITHIN;
    while Counters::read()?.driver("puts_backed_off")? == 0 {
        ensure!(Instant::now() < deadline, "nothing was refused within {FULL_WITHIN:?}: the case shows nothing");
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
