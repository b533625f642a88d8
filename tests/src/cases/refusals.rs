//! What the host lacks is an error that says so, and leaves nothing behind. (What `vm.toml` gets wrong is tested where
//! it is parsed.)

use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Output;

pub(super) const CASE: Case = Case {
    name: "refusals",
    shows: "no /dev/kvm, no permission on it, a busy disk, a taken name; tmem check says so",
    runs: Runs::OF_THE_HOST,
    host,
    guest,
};

const NOBODY: u32 = 65534;
const KVM: &str = "/dev/kvm";

fn host(host: &mut Host) -> Result<()> {
    let disk = host.disk("disk", 1 << 20)?;
    let spec = Spec { memory_mib: 128, ..Spec::default() }.disk(disk);
    let config = host.write_config("refused", &spec)?;
    let run = |host: &Host| -> Result<Output> { Ok(host.tmem_command(&["run"]).arg(&config).output()?) };

    // Away and back by renaming, so that this works where /dev is the host's own too.
    if Host::owns_machine() {
        fs::rename(KVM, "/dev/kvm-away")?;
        let (output, check) = (run(host), host.tmem(&["check"]));
        fs::rename("/dev/kvm-away", KVM)?;
        refused(&output?, 1, "no /dev/kvm")?;
        found(&check?, 1, "no /dev/kvm")?;
    }
    found(&host.tmem(&["check"])?, 0, "a guest's hypercall hands its registers over")?;
    // What is refused is KVM: everything else may be read by anybody, and there is no disk to write.
    let bare = host.write_config("bare", &Spec { memory_mib: 128, ..Spec::default() })?;
    let output = host.tmem_command(&["run"]).arg(&bare).uid(NOBODY).gid(NOBODY).output()?;
    refused(&output, 1, "permission")?;
    found(&host.tmem_command(&["check"]).uid(NOBODY).gid(NOBODY).output()?, 1, "usermod -aG kvm")?;

    let mut vm = host.start(&spec)?;
    vm.expect("ready")?;
    refused(&run(host)?, 2, "disk")?;
    let twin = fs::read_to_string(&config)?.replace("\"refused\"", &format!("{:?}", vm.name()));
    let twin = twin.split("[[disk]]").next().context("a configuration")?.to_owned();
    fs::write(&config, twin)?;
    refused(&run(host)?, 1, vm.name())?;
    vm.go()?;
    vm.finish()?;
    ensure!(!fs::read_to_string("/proc/net/unix")?.contains("refused"), "a refused VM left its socket");
    Ok(())
}

/// The command ended with this code and said why.
pub(super) fn refused(output: &Output, code: i32, reason: &str) -> Result<()> {
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{} instead of {code}: {error}", output.status);
    ensure!(error.contains(reason), "the error does not name {reason}: {error}");
    Ok(())
}

/// `tmem check` ended with this code and said this.
fn found(output: &Output, code: i32, fragment: &str) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(code), "{} instead of {code}: {text}", output.status);
    ensure!(text.contains(fragment), "tmem check does not say {fragment}: {text}");
    Ok(())
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.sync("ready", &serde_json::Value::Null)?;
    Ok(())
}
