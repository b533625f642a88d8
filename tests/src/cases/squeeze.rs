//! A host that runs short: real memory is taken from it step by step and given back, with a policy that acts and with one
//! that only looks on.

use super::told::{self, all_do, does};
use crate::case::{Case, Runs};
use crate::guest::vmstat;
use crate::host::{Disk, Host, Service, Spec, Vm};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const CASE: Case = Case {
    name: "squeeze",
    shows: "a real allocation moves the host high, clear, soft, hard, low and back; it swaps without the policy only",
    runs: Runs::OF_THE_HOST.in_soak(),
    host,
    guest: told::guest,
};

const MIB: u64 = 1 << 20;
/// What each guest reads; the store has half of it, for so far it compresses.
const FILES_MIB: usize = 220;
const SWAP_MIB: &str = "256";
/// The states with what MemAvailable is brought to for them: between their mark and the next.
const STATES: [(&str, u64); 5] =
    [("high", 1100 * MIB), ("clear", 800 * MIB), ("soft", 600 * MIB), ("hard", 400 * MIB), ("low", 220 * MIB)];
/// What is taken or given back at a time.
const STEP_BYTES: usize = 8 << 20;
/// Decisions in which the host comes to another state, and what follows from it is done.
const DECISIONS: u64 = 120;
/// Decisions in each state.
const STAY: u64 = 4;
const POLL: Duration = Duration::from_millis(100);
/// How long the kernel may take to begin to swap.
const PATIENCE: Duration = Duration::from_secs(60);

fn policy(mode: &str) -> String {
    format!(
        r#"
mode = "{mode}"
pool = {{ size_max = "600MiB", size_min = "16MiB" }}
share = {{ idle_after = "5s", min_change = "{}KiB" }}
class.default.tmem.limit = "100%"
host.reserve = "100MiB"
host.claim = false
[host.watermarks]
clear = "900MiB"
soft = "700MiB"
hard = "500MiB"
low = "300MiB"
hysteresis = "60MiB"
hold = "2s"
"#,
        MIN_CHANGE_BYTES >> 10
    )
}

/// Changes of leases that are not made.
const MIN_CHANGE_BYTES: u64 = 1 << 20;

fn host(host: &mut Host) -> Result<()> {
    if !Host::owns_machine() {
        host.note("not run: the memory of this machine is not ours to take".to_owned());
        return Ok(());
    }
    let dir = disk_with_swap(host)?;
    let service = host.start_service(&policy("enforce"))?;
    // Past the page cache: the kernel may swap to keep what is in it.
    let files = |number| Ok(Disk { direct: true, ..told::files(dir.join(format!("files{number}")), FILES_MIB)? });
    let files = (0..3).map(files).collect::<Result<Vec<Disk>>>()?;
    run("sync", &[])?;
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    let mut vms = told::start_with(host, &service, files)?;
    all_do(&mut vms, &format!("read {FILES_MIB} 1"))?;
    let stored = service.list()?.host.freeable_bytes;
    host.note(format!("{} MiB of ephemeral pages", stored / MIB));

    let before = vmstat("pswpout")?;
    let mut taken = Taken::default();
    for (state, bytes) in &STATES[1..] {
        taken.until(&service, state, *bytes)?;
        acts_as(host, &service, &mut vms, state)?;
    }
    let most = taken.0.len();
    for (state, bytes) in STATES[..4].iter().rev() {
        taken.until(&service, state, *bytes)?;
        acts_as(host, &service, &mut vms, state)?;
    }
    drop(taken);
    let with = vmstat("pswpout")? - before;
    let decisions = service.decisions()?;
    states_follow(&decisions)?;
    decisions.iter().try_for_each(acts_by_state)?;
    ensure!(with == 0, "the host swapped {with} pages out with the service");

    service.apply(&policy("observe"))?;
    all_do(&mut vms, &format!("read {FILES_MIB} 1"))?;
    let again = service.list()?.host.freeable_bytes;
    ensure!(again * 10 > stored * 9, "{again} bytes are stored, and {stored} were: not the same squeeze");
    let mut taken = Taken::default();
    (0..most).for_each(|_| taken.take());
    let deadline = Instant::now() + PATIENCE;
    while vmstat("pswpout")? == before {
        ensure!(Instant::now() < deadline, "the same squeeze makes nobody swap without the service");
        thread::sleep(POLL);
    }
    host.note(format!(
        "{} MiB taken: {with} pages swapped out with the service, {} without",
        most * (STEP_BYTES >> 20),
        vmstat("pswpout")? - before
    ));
    drop(taken);
    told::end(vms)
}

/// Memory that somebody else on the host uses.
#[derive(Default)]
struct Taken(Vec<Vec<u8>>);

impl Taken {
    fn take(&mut self) {
        self.0.push(vec![1; STEP_BYTES]);
    }

    /// Takes or gives back until the host is in a state with this much available, whatever the stores give back meanwhile.
    fn until(&mut self, service: &Service, state: &str, bytes: u64) -> Result<()> {
        let step = STEP_BYTES as u64;
        let first = service.list()?.host.decisions;
        loop {
            let available = available_bytes()?;
            let host = service.list()?.host;
            if host.state == state && available.abs_diff(bytes) < 2 * step {
                return Ok(());
            }
            ensure!(host.decisions - first <= DECISIONS, "not {state} after {DECISIONS} decisions: {host:?}");
            let steps = usize::try_from(available.abs_diff(bytes) / step)?;
            if available > bytes {
                (0..steps).for_each(|_| self.take());
            } else {
                self.0.truncate(self.0.len().saturating_sub(steps));
            }
            thread::sleep(POLL);
        }
    }
}

fn available_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: u64 = line.context("no MemAvailable")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// A file system on the emulated host's own disk, with swap that is on.
fn disk_with_swap(host: &Host) -> Result<PathBuf> {
    let disk = host.real_disk("unused", 0)?;
    crate::host::make_ext4(&disk)?;
    let dir = host.dir().join("disks");
    fs::create_dir(&dir)?;
    let (disk, place) = (disk.to_string_lossy(), dir.to_string_lossy());
    run("mount", &["-t", "ext4", &disk, &place])?;
    let swap = dir.join("swap");
    let swap = swap.to_string_lossy();
    run("dd", &["if=/dev/zero", &format!("of={swap}"), "bs=1M", &format!("count={SWAP_MIB}")])?;
    run("chmod", &["600", &swap])?;
    run("mkswap", &[&swap])?;
    run("swapon", &[&swap])?;
    Ok(dir)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {}: {error}", output.status);
    Ok(())
}

/// What is seen of a state from outside of the service.
fn acts_as(host: &mut Host, service: &Service, vms: &mut [Vm], state: &str) -> Result<()> {
    let rejects = matches!(state, "hard" | "low");
    let share = |vm: &Vm| vm.show()?.tmem.and_then(|tmem| tmem.share).context("no share");
    service.decisions_until(DECISIONS, |_| {
        let all = vms.iter().map(|vm| Ok(share(vm)?.accepts_ephemeral != rejects)).collect::<Result<Vec<bool>>>()?;
        Ok(all.into_iter().all(|is| is))
    })?;
    if rejects {
        let pages = |service: &Service| Ok::<_, anyhow::Error>(service.list()?.vms[0].counts.ephemeral_pages);
        let before = pages(service)?;
        does(&mut vms[0], "read 8 1")?;
        stay(service)?;
        let after = pages(service)?;
        ensure!(after <= before, "in state {state} the pages of files went from {before} to {after}");
    }
    if state == "low" {
        nobody_starts(host, service)?;
    }
    stay(service)
}

fn stay(service: &Service) -> Result<()> {
    let first = service.list()?.host.decisions;
    service.decisions_since(first, DECISIONS, |listing| Ok(listing.host.decisions >= first + STAY)).map(drop)
}

fn nobody_starts(host: &Host, service: &Service) -> Result<()> {
    let spec = Spec { service: Some(service.socket()), ..Spec::default() };
    let config = host.write_config("one-too-many", &spec)?;
    let output = host.tmem(&["run", &config.to_string_lossy()])?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "a VM that starts in state low ends with {}: {error}", output.status);
    ensure!(error.contains("one-too-many may not start"), "{error}");
    Ok(())
}

fn level(line: &Value) -> &str {
    line.pointer("/decision/host/state/level").and_then(Value::as_str).unwrap_or_default()
}

/// The host has been in each state, on the way down and on the way back.
fn states_follow(decisions: &[Value]) -> Result<()> {
    let mut levels = decisions.iter().map(level);
    let all = STATES.iter().chain(STATES[..4].iter().rev());
    for (state, _) in all {
        ensure!(levels.any(|level| level == *state), "no {state} in its place in the decision log");
    }
    Ok(())
}

/// A decision is what docs/policy.md says of the state in which it was made.
fn acts_by_state(line: &Value) -> Result<()> {
    let number = |of: &Value, path: &str| {
        of.pointer(path).and_then(Value::as_u64).with_context(|| format!("no {path} in the decision log"))
    };
    let level = level(line);
    let is_short = matches!(level, "soft" | "hard" | "low");
    let pool = |name: &str| number(line, &format!("/decision/pool/{name}"));
    let (spare, missing, in_use) = (pool("spare_bytes")?, pool("missing_bytes")?, pool("in_use_bytes")?);
    ensure!(level == "high" || spare == 0, "in state {level} the pool may grow: {line}");
    ensure!(is_short || missing == 0, "in state {level} the pool gives back: {line}");
    let wanted = (in_use + spare).saturating_sub(missing).clamp(pool("min_bytes")?, pool("max_bytes")?);
    ensure!(pool("bytes")? == wanted, "the pool is not {wanted} bytes: {line}");
    for vm in line.pointer("/decision/vms").and_then(Value::as_array).into_iter().flatten() {
        let reason = vm.pointer("/lease/reason").and_then(Value::as_str).unwrap_or_default();
        ensure!(is_short || reason != "host-short", "in state {level} a lease shrinks at once: {vm}");
        let holding = |name: &str| number(vm, &format!("/lease/holding/{name}"));
        let (entitled, reserved) = (holding("entitlement_bytes")?, holding("reservation_bytes")?);
        let target = if level == "low" { entitled.min(reserved) } else { entitled };
        let lease = number(vm, "/lease/bytes")?;
        ensure!(!is_short || lease < target + MIN_CHANGE_BYTES, "in state {level} a lease is above {target}: {vm}");
    }
    Ok(())
}
