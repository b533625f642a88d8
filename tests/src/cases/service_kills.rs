//! The service is killed again and again while guests check every byte that they get back.

use super::exactness::host_sum;
use super::figures::median;
use super::told::{self, all_do, done, swapping_load};
use crate::case::{Case, Runs};
use crate::host::{Host, Service, Vm};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const CASE: Case = Case {
    name: "service-kills",
    shows: "kill -9 of the service under load from three guests, twenty times: no bad byte, leases as before",
    runs: Runs::OF_THE_HOST.in_soak(),
    host,
    guest: told::guest,
};

const POLICY: &str = r#"
pool = { size_max = "48MiB", size_min = "48MiB" }
share = { algorithm = "weighted", idle_after = "5s", min_change = "256KiB" }
host.claim = false
class.default.tmem.limit = "100%"
"#;
const KILLS: u32 = 20;
/// A load without a kill comes before each so many with one: in turns, as the machine has other things to do as well.
const UNDISTURBED_EVERY: u32 = 4;
/// What each guest reads beside its swap.
const FILES_MIB: usize = 32;
/// Pages that the guests offer to their stores in a round, at least.
const PUTS_A_ROUND: u64 = 1_000;
/// Load before the kill, and between kill and restart.
const MEANWHILE: Duration = Duration::from_secs(2);
/// Decisions in which every VM is back.
const DECISIONS: u64 = 30;
/// How long a VM may take to notice that the service is gone.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

fn host(host: &mut Host) -> Result<()> {
    let mut service = host.start_service(POLICY)?;
    let mut vms = told::start(host, &service, 3, FILES_MIB)?;
    all_do(&mut vms, &format!("read {FILES_MIB} 1"))?;
    all_do(&mut vms, "hold 140")?;
    // It also frees the memory for the others.
    all_do(&mut vms, &swapping_load(0))?;
    let before = offered(&vms)?;
    let (mut undisturbed, mut disturbed) = (Vec::new(), Vec::new());
    for kill in 1..=KILLS {
        if kill % UNDISTURBED_EVERY == 1 {
            undisturbed.extend(all_do(&mut vms, &swapping_load(KILLS + kill))?);
        }
        disturbed.extend(kill_under_load(&mut service, &mut vms, kill)?);
    }
    let puts = offered(&vms)? - before;
    ensure!(puts > u64::from(KILLS) * PUTS_A_ROUND, "{puts} pages were swapped out meanwhile: the case shows nothing");
    host.note(format!(
        "{puts} pages offered meanwhile; a load took {:.1} s with the service, {:.1} s with it killed and started again (medians)",
        median(undisturbed.iter().filter_map(Value::as_f64)).context("no load told its time")?,
        median(disturbed.iter().filter_map(Value::as_f64)).context("no load told its time")?
    ));
    all_do(&mut vms, "release")?;
    told::end(vms)
}

/// Pages that the guests have offered so far, accepted or not.
fn offered(vms: &[Vm]) -> Result<u64> {
    vms.iter()
        .map(|vm| {
            let report = vm.show()?;
            Ok(["puts_accepted", "puts_rejected_"].iter().map(|name| host_sum(&report, "store", name)).sum::<u64>())
        })
        .sum()
}

/// Kills the service once while all guests load, and starts it again: each VM comes back with the lease that it kept. Returns
/// what the loads took, in seconds.
pub(super) fn kill_under_load(service: &mut Service, vms: &mut [Vm], seed: u32) -> Result<Vec<Value>> {
    for vm in &mut *vms {
        vm.say(&swapping_load(seed))?;
    }
    thread::sleep(MEANWHILE);
    service.kill()?;
    let kept = vms.iter().map(|vm| Ok((vm.name().to_owned(), kept_lease(vm)?))).collect::<Result<BTreeMap<_, _>>>()?;
    let decided = service.decisions()?.len();
    thread::sleep(MEANWHILE);
    service.start_again()?;
    let all_there = |service: &Service| {
        let lines = service.decisions()?;
        Ok::<_, anyhow::Error>(first_leases(lines.get(decided..).unwrap_or_default()))
    };
    service.decisions_until(DECISIONS, |_| Ok(all_there(service)?.len() == kept.len()))?;
    let again = all_there(service)?;
    let is_back = |(name, kept): (&String, &u64)| again.get(name).is_some_and(|again| again * 10 >= kept * 9);
    // One that was not on a CPU for seconds comes late, and has as much as it held.
    ensure!(kept.iter().all(is_back), "the leases are {again:?}; without a service they were {kept:?}");
    vms.iter_mut().map(done).collect()
}

/// The lease that a VM keeps while there is no service.
fn kept_lease(vm: &Vm) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let share = vm.show()?.tmem.and_then(|tmem| tmem.share).context("no share")?;
        if !share.is_connected {
            ensure!(share.lease_bytes > 0, "{} kept nothing", vm.name());
            return Ok(share.lease_bytes);
        }
        ensure!(Instant::now() < deadline, "{} has not noticed that the service is gone", vm.name());
        thread::sleep(POLL);
    }
}

/// What each VM had when it was first seen.
fn first_leases(decisions: &[Value]) -> BTreeMap<String, u64> {
    let vms = decisions.iter().filter_map(|line| line.pointer("/observation/vms")?.as_array()).flatten();
    let mut leases = BTreeMap::new();
    for vm in vms {
        let name = vm.pointer("/identity/name").and_then(Value::as_str).unwrap_or_default();
        let lease = vm.get("lease_bytes").and_then(Value::as_u64).unwrap_or_default();
        leases.entry(name.to_owned()).or_insert(lease);
    }
    leases
}
