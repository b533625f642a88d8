//! The policy's file changes each second while guests load, and now and then it is broken.

use super::told::{self, all_do, done, swapping_load};
use crate::case::{Case, Runs};
use crate::host::{Host, Service};
use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const CASE: Case = Case {
    name: "host-reload",
    shows: "policy replaced each second under load, every tenth broken: the last good one stays, log and metric say so",
    runs: Runs::OF_THE_HOST.in_soak(),
    host,
    guest: told::guest,
};

const ROUNDS: u32 = 4;
/// Policies of a round; the last one is broken.
const POLICIES: u32 = 10;
const BROKEN: &str = "pool.size_max = 5";
const EACH: Duration = Duration::from_secs(1);
/// Decisions in which the service has looked at the file.
const DECISIONS: u64 = 10;
const FILES_MIB: usize = 16;

fn policy(number: u32) -> String {
    format!(
        r#"
pool = {{ size_max = "48MiB", size_min = "48MiB" }}
share = {{ idle_after = "5s", min_change = "{}KiB" }}
host.claim = false
class.default.tmem.limit = "100%"
"#,
        256 + number
    )
}

fn host(host: &mut Host) -> Result<()> {
    let service = host.start_service(&policy(0))?;
    let mut vms = told::start(host, &service, 3, FILES_MIB)?;
    all_do(&mut vms, "hold 140")?;
    for round in 0..ROUNDS {
        for vm in &mut vms {
            vm.say(&swapping_load(round))?;
        }
        replace_each_second(&service, round)?;
        vms.iter_mut().try_for_each(|vm| done(vm).map(drop))?;
    }
    service.replace_policy(&policy(0))?;
    let is_whole = |host: &protocol::service::HostStatus| host.policy_error.is_none();
    service.decisions_until(DECISIONS, |listing| Ok(is_whole(&listing.host)))?;
    let (good, bad) = (service.logged("another policy is in force")?, service.logged("the last good one stays")?);
    host.note(format!("{good} policies put in force, {bad} not"));
    let failed = service.metric("tmem_reloads_failed_total")?;
    ensure!(failed == f64::from(ROUNDS), "{failed} reloads failed, {ROUNDS} should have");
    ensure!(bad == ROUNDS as usize, "{bad} of {ROUNDS} broken policies are in the log");
    ensure!(service.metric("tmem_policy_error")? == 0.0, "the error stays though the policy is whole again");
    all_do(&mut vms, "release")?;
    told::end(vms)
}

fn replace_each_second(service: &Service, round: u32) -> Result<()> {
    for number in 1..=POLICIES {
        let began = Instant::now();
        let before = service.list()?.host;
        if number == POLICIES {
            service.replace_policy(BROKEN)?;
            service.decisions_until(DECISIONS, |listing| Ok(listing.host.policy_error.is_some()))?;
            let after = service.list()?.host;
            let error = after.policy_error.context("no error")?;
            ensure!(error.contains("pool.size_max"), "the error does not name the key: {error}");
            ensure!(
                (after.policy_generation, &after.policy_sha256) == (before.policy_generation, &before.policy_sha256),
                "a broken policy is in force"
            );
            ensure!(service.metric("tmem_policy_error")? == 1.0, "no metric says that the policy is broken");
        } else {
            service.replace_policy(&policy(round * POLICIES + number))?;
            service.decisions_until(DECISIONS, |listing| {
                let host = &listing.host;
                Ok(host.policy_generation == before.policy_generation + 1 && host.policy_error.is_none())
            })?;
        }
        let listing = service.list()?;
        ensure!(listing.vms.len() == 3, "not all VMs are there: {listing:#?}");
        thread::sleep(EACH.saturating_sub(began.elapsed()));
    }
    Ok(())
}
