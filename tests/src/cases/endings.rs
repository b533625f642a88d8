//! Each way a guest can end has an exit code of its own.

use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(super) const CASE: Case = Case {
    name: "endings",
    shows: "shutdown, reboot, panic, triple fault and quit have their exit codes",
    runs: Runs::ON_6_1,
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    // A reboot by triple fault is how a kernel is told to make one.
    for (way, cmdline, code) in
        [("shutdown", "", 0), ("reboot", "", 3), ("panic", "", 4), ("reboot", "reboot=t", 5), ("wait", "", 130)]
    {
        let spec = Spec { memory_mib: 128, cmdline: cmdline.to_owned(), ..Spec::default() };
        let mut vm = host.start(&spec.arguments([way]))?;
        vm.expect("ready")?;
        if way == "wait" {
            let pid = i32::try_from(vm.pid()).ok().and_then(Pid::from_raw);
            kill_process(pid.ok_or_else(|| anyhow::anyhow!("no pid"))?, Signal::INT)?;
        } else {
            vm.go()?;
        }
        let status = vm.wait().with_context(|| format!("{way} {cmdline}"))?;
        ensure!(status.code() == Some(code), "{way} {cmdline}: {status} instead of {code}\n{}", vm.console_tail());
    }
    Ok(())
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.sync("ready", &Value::Null)?;
    match guest.argument(0)? {
        "shutdown" => return Ok(()),
        "reboot" => guest.command("reboot", &["-f"]).map(drop)?,
        "panic" => guest.set("/proc/sysrq-trigger", "c")?,
        other => bail!("unknown way to end: {other}"),
    }
    bail!("the guest is still alive")
}
