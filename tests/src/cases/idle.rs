//! What a VM costs its host while its guest does nothing: swapped out to tmem before, or to a disk without tmem.

use super::exactness::host_counter;
use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec, Vm};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const CASE: Case = Case {
    name: "idle",
    shows: "guests that rest: wake-ups and CPU time of their VMMs, with tmem, leased by a service, and without",
    runs: Runs::ON_6_1.in_soak(),
    host,
    guest,
};

/// The thread that compresses cold pages again.
const WORKER: &str = "recompress";
/// Word for the guest half: what it swaps to.
const TMEM: &str = "/dev/tmem0";
/// After this many seconds without a load a page is compressed again: the default, which says how often a thread looks.
const COLD_AFTER_SECONDS: u32 = 60;
/// Until pages are cold.
const COLD: Duration = Duration::from_secs(90);
/// Three looks of that thread.
const LOOKS: Duration = Duration::from_secs(60);
/// Most sleeps of it in that time where it finds nothing to do.
const SLEEPS_OF_LOOKS: u64 = 6;
/// Within which everything cold has been compressed, on the slowest of hosts.
const SETTLED_WITHIN: Duration = Duration::from_secs(400);
const REST: Duration = Duration::from_secs(60);
/// A decision or a report a minute, and whoever asks for the counters. A thread that polls would be far beyond.
const FEW: u64 = 6;
/// A call after a while: it rings, a decision or two follow, and a look of the thread that compresses cold pages, which
/// rests after each millisecond of it.
const OF_A_CALL: u64 = 12;

/// What a process did.
#[derive(Clone, Debug)]
struct Used {
    /// How often its threads went to sleep by themselves, by the threads' names.
    sleeps: BTreeMap<String, u64>,
    cpu_ns: u64,
}

fn host(host: &mut Host) -> Result<()> {
    let service = host.start_service("")?;
    let spec = Spec { memory_mib: 112, recompress_after_seconds: COLD_AFTER_SECONDS, ..Spec::default() };
    // The same load in all: what a kernel does about pages that are swapped out is not tmem's.
    let disk = host.disk("swap", 512 << 20)?;
    let specs = [
        Spec { limit: None, ..spec.clone() }.disk(disk).arguments(["/dev/vda"]),
        spec.clone().arguments([TMEM]),
        Spec { service: Some(service.socket()), ..spec }.arguments([TMEM]),
    ];
    let mut vms = specs.iter().map(|spec| host.start(spec)).collect::<Result<Vec<_>>>()?;
    for vm in &mut vms {
        vm.expect("rests")?;
    }
    for vm in &vms[1..] {
        let held = host_counter(&vm.show()?, "store", "persistent_pages")?;
        ensure!(held > 1_000, "only {held} pages are in the store: the case shows nothing");
        settle(vm)?;
    }
    // All at once, so that what disturbs the machine disturbs all.
    let called = vms[1..].iter().map(calls).collect::<Result<Vec<_>>>()?;
    let before = vms.iter().map(used).collect::<Result<Vec<_>>>()?;
    thread::sleep(REST);
    let after = vms.iter().map(used).collect::<Result<Vec<_>>>()?;
    let calls = vms[1..].iter().zip(called).map(|(vm, before)| Ok(calls(vm)? - before)).collect::<Result<Vec<_>>>()?;
    let did: Vec<Used> = after.into_iter().zip(&before).map(|(after, before)| after.since(before)).collect();
    let [plain, alone, leased] = &did[..] else { bail!("three VMs") };
    host.note(format!(
        "in {} s: {plain} without tmem; {alone} with, {} calls; {leased} leased by a service, {} calls",
        REST.as_secs(),
        calls[0],
        calls[1]
    ));
    for (did, calls) in [alone, leased].into_iter().zip(calls) {
        let most = plain.wakes_of_vmm() + FEW + OF_A_CALL * calls;
        ensure!(did.wakes_of_vmm() <= most, "{did:?} with tmem, {plain:?} without: more than {most} wake-ups");
    }
    for mut vm in vms {
        vm.go()?;
        vm.finish()?;
    }
    Ok(())
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, of_vmm, ms) = (self.wakes(), self.wakes_of_vmm(), self.cpu_ns / 1_000_000);
        write!(f, "{all} wake-ups, {of_vmm} of the VMM, {ms} ms of CPU")
    }
}

impl Used {
    /// What it did after `before`.
    fn since(mut self, before: &Self) -> Self {
        for (name, sleeps) in &mut self.sleeps {
            *sleeps -= before.sleeps.get(name).unwrap_or(&0);
        }
        self.sleeps.retain(|_, sleeps| *sleeps > 0);
        Self { cpu_ns: self.cpu_ns - before.cpu_ns, ..self }
    }

    /// As often as its threads slept they were woken.
    fn wakes(&self) -> u64 {
        self.sleeps.values().sum()
    }

    /// The same of all threads but the vCPUs and the disks: what those do is their guests' kernels' affair, and differs
    /// from boot to boot.
    fn wakes_of_vmm(&self) -> u64 {
        let is_vmm = |name: &str| !name.starts_with("vcpu") && !name.starts_with("disk");
        self.sleeps.iter().filter(|(name, _)| is_vmm(name)).map(|(_, sleeps)| sleeps).sum()
    }
}

/// Waits until what the load left behind has been compressed again, freed and given back: that is work, if slow.
fn settle(vm: &Vm) -> Result<()> {
    thread::sleep(COLD);
    let deadline = Instant::now() + SETTLED_WITHIN;
    let mut before = used(vm)?;
    loop {
        thread::sleep(LOOKS);
        let now = used(vm)?;
        let sleeps = now.clone().since(&before).sleeps.get(WORKER).copied().unwrap_or_default();
        // A thread that never rests is what the case is there to find.
        if sleeps <= SLEEPS_OF_LOOKS || Instant::now() > deadline {
            return Ok(());
        }
        before = now;
    }
}

/// Pages that a VM's guest has put and asked for so far.
fn calls(vm: &Vm) -> Result<u64> {
    let status = vm.show()?;
    ["puts_accepted", "gets_hit", "gets_miss"].iter().map(|name| host_counter(&status, "store", name)).sum()
}

/// What all threads of a VM's process have done so far.
fn used(vm: &Vm) -> Result<Used> {
    let mut used = Used { sleeps: BTreeMap::new(), cpu_ns: 0 };
    for thread in fs::read_dir(format!("/proc/{}/task", vm.pid()))? {
        let thread = thread?.path();
        let status = fs::read_to_string(thread.join("status"))?;
        let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let name = fs::read_to_string(thread.join("comm"))?.trim().to_owned();
        *used.sleeps.entry(name).or_default() += sleeps.context("no count of switches")?.trim().parse::<u64>()?;
        let times = fs::read_to_string(thread.join("schedstat"))?;
        used.cpu_ns += times.split_whitespace().next().context("no time")?.parse::<u64>()?;
    }
    Ok(used)
}

fn guest(guest: &mut Guest) -> Result<()> {
    let device = guest.argument(0)?;
    if device == TMEM {
        guest.load_driver(&[])?;
    }
    let swap = guest.swap_on(device)?;
    let size = guest.percent_of_memory(110)?;
    let load = ["--size", &size, "--passes", "0", "--order", "sequential", "--hold", "line"];
    let mut load = guest.start_load(&load)?;
    load.wait_until_holding()?;
    guest.sync("rests", &Value::Null)?;
    load.go()?;
    load.finish()?;
    swap.off()
}
