//! An unmodified kernel boots with every device, and each way to end a VM has its own exit code.

use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;

pub(super) const CASE: Case =
    Case { name: "boot", shows: "two vCPUs, disks, entropy, clean shutdown", runs: Runs::ON_6_1, host, guest };

const DISK_BYTES: u64 = 8 << 20;

fn host(host: &mut Host) -> Result<()> {
    let (data, blank) = (host.disk("data", DISK_BYTES)?, host.disk("blank", DISK_BYTES)?);
    fs::write(&data, vec![0x5a; 1 << 20])?;
    fs::File::options().write(true).open(&data)?.set_len(DISK_BYTES)?;
    let mut vm = host.start(&Spec { vcpus: 2, ..Spec::default() }.disk(data).disk(blank.clone()))?;
    let seen = vm.expect("devices")?;
    ensure!(seen == json!({ "cpus": 2, "vda": DISK_BYTES / 512, "vdb": DISK_BYTES / 512 }), "the guest sees {seen}");
    let report = vm.show()?;
    ensure!(report.vcpus == 2 && report.tmem.is_some(), "tmem show says {report:?}");
    vm.go()?;
    vm.finish()?;
    let written = fs::read(blank)?;
    ensure!(written[..4096] == [0x5a; 4096], "what the guest wrote is on the disk");
    Ok(())
}

fn guest(guest: &mut Guest) -> Result<()> {
    let sectors = |disk: &str| -> Result<u64> {
        let text = fs::read_to_string(format!("/sys/block/{disk}/size")).with_context(|| format!("no disk {disk}"))?;
        Ok(text.trim().parse()?)
    };
    let cpus = fs::read_to_string("/proc/cpuinfo")?.matches("processor\t").count();
    guest.sync("devices", &json!({ "cpus": cpus, "vda": sectors("vda")?, "vdb": sectors("vdb")? }))?;
    guest.command("dd", &["if=/dev/vda", "of=/dev/vdb", "bs=4096", "count=1", "conv=fsync"])?;
    guest.command("dd", &["if=/dev/hwrng", "of=/dev/null", "bs=16", "count=1"])?;
    Ok(())
}
