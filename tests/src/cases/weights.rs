//! Three guests of unlike weights under one host service, whose pool is smaller than what they want: leases go to the
//! entitlements, the idle are taxed and find their reservation, the service is killed under load, no accepted page is lost,
//! and everybody counts the same.

use super::counts::{everybody_counts_the_same, row};
use super::service_kills::kill_under_load;
use super::told::{self, all_do, does, done};
use crate::case::{Case, Runs};
use crate::host::{Host, Listing, Service, Vm};
use anyhow::{Context, Result, ensure};
use protocol::service::VmStatus;

pub(super) const CASE: Case = Case {
    name: "leases-by-weight",
    shows: "three guests under one service: leases go to entitlements, the service is killed under load, counts agree",
    runs: Runs::OF_THE_HOST.in_soak(),
    host,
    guest: told::guest,
};

const MIB: u64 = 1 << 20;
const POOL_BYTES: u64 = 48 * MIB;
const RESERVATION_BYTES: u64 = 4 * MIB;
/// What each reads: more than the pool has for it, although half of it compresses away.
const FILES_MIB: usize = 64;
const LIGHT: u32 = 100;
const HEAVY: u32 = 400;
/// Decisions in which leases come to their entitlements at the default steps.
const DECISIONS: u64 = 25;
/// Decisions in which guests that rest are known to be idle, and then all is still.
const PATIENCE: u64 = 60;
/// How often the service is killed.
const KILLS: u32 = 3;
/// Which of the guests is the heavy one.
const HEAVIEST: usize = 2;
/// What the heavy one reads again and again: its store has room for it.
const SET_MIB: usize = 40;
/// Column of `tmem top`.
const GETS: usize = 8;

/// The first two have this weight, the third 400: a name alone may lower a share.
fn policy(light: u32) -> String {
    format!(
        r#"
pool = {{ size_max = "{POOL_BYTES_MIB}MiB", size_min = "{POOL_BYTES_MIB}MiB" }}
share = {{ algorithm = "weighted", idle_after = "5s", min_change = "256KiB" }}
host.claim = false
class.default = {{ weight = {HEAVY}, tmem = {{ limit = "100%", reservation = "{RESERVATION_MIB}MiB" }} }}
class.light.weight = {light}
[[vm]]
match.name = "*-1"
class = "light"
[[vm]]
match.name = "*-2"
class = "light"
"#,
        POOL_BYTES_MIB = POOL_BYTES / MIB,
        RESERVATION_MIB = RESERVATION_BYTES / MIB
    )
}

fn host(host: &mut Host) -> Result<()> {
    let mut service = host.start_service(&policy(HEAVY))?;
    let mut vms = told::start(host, &service, 3, FILES_MIB)?;
    all_do(&mut vms, &format!("read {FILES_MIB} 1"))?;
    let passed = ephemeral_use_follows(&service)?;
    host.note(format!("within 5 % of the entitlements after {passed} decisions"));
    idle_pages_are_taxed(&service, &mut vms)?;
    one_that_wakes_has_its_reservation(&service, &mut vms)?;
    let overhang = swap_overhangs(&service, &mut vms)?;
    for kill in 0..KILLS {
        kill_under_load(&mut service, &mut vms, kill)?;
    }
    let passed = freed_pages_end_the_overhang(&service, &mut vms)?;
    host.note(format!("an overhang of {} MiB ended, {passed} decisions after the pages were freed", overhang / MIB));
    does(&mut vms[HEAVIEST], "release")?;
    everybody_counts_the_same(&service, &mut vms)?;
    told::end(vms)
}

/// All of them full and idle at the same share, the weights change: leases are there within 25 decisions, and what is held
/// with them.
fn ephemeral_use_follows(service: &Service) -> Result<u64> {
    service.decisions_until(PATIENCE, |listing| Ok(listing.vms.iter().all(is_idle)))?;
    let listing = service.list()?;
    ensure!(listing.host.used_bytes * 10 > POOL_BYTES * 8, "the stores are not full: {listing:#?}");
    let decisions = listing.host.decisions;
    service.apply(&policy(LIGHT))?;
    let shares = [fair_bytes(LIGHT), fair_bytes(LIGHT), fair_bytes(HEAVY)];
    let passed = service.decisions_since(decisions, DECISIONS, |listing| {
        let entitled = listing.vms.iter().zip(shares).all(|(vm, share)| is_within(vm.entitlement_bytes, share, 1));
        Ok(entitled && listing.vms.iter().all(is_at))
    })?;
    let explained = service.tmem(&["policy", "explain", listing.vms[HEAVIEST].name.as_str()])?;
    ensure!(explained.contains("weight 400"), "the explanation lacks the weight: {explained}");
    let follows =
        |vm: &VmStatus| vm.counts.used_bytes <= vm.lease_bytes && vm.counts.used_bytes * 10 > vm.lease_bytes * 8;
    service.decisions_until(PATIENCE, |listing| Ok(listing.vms[..HEAVIEST].iter().all(follows)))?;
    Ok(passed)
}

/// The heavy one uses its pages, the others do not: they are entitled to less than their weights say, and `tmem top` shows
/// who does what.
fn idle_pages_are_taxed(service: &Service, vms: &mut [Vm]) -> Result<()> {
    vms[HEAVIEST].say(&format!("read {SET_MIB} 6"))?;
    service.decisions_until(PATIENCE, |listing| {
        let taxed = |vm: &VmStatus| is_idle(vm) && vm.entitlement_bytes * 100 < fair_bytes(LIGHT) * 95;
        let heavy = &listing.vms[HEAVIEST];
        Ok(listing.vms[..HEAVIEST].iter().all(taxed) && heavy.entitlement_bytes > fair_bytes(HEAVY))
    })?;
    let top = service.tmem(&["top", "-b", "-n", "2", "-d", "3"])?;
    let reads = |vm: &Vm| Ok::<_, anyhow::Error>(row(&top, vm.name())?[GETS] != "0");
    ensure!(reads(&vms[HEAVIEST])? && !reads(&vms[0])?, "one reads and one does not, and not so in\n{top}");
    done(&mut vms[HEAVIEST]).map(drop)
}

/// One that has nothing and takes it up again, while the others have all the rest.
fn one_that_wakes_has_its_reservation(service: &Service, vms: &mut [Vm]) -> Result<()> {
    does(&mut vms[HEAVIEST], &format!("read {FILES_MIB} 1"))?;
    does(&mut vms[0], "forget")?;
    service.decisions_until(PATIENCE, |listing| Ok(listing.vms[0].counts.ephemeral_pages == 0))?;
    let listing = service.list()?;
    let full = |vm: &VmStatus| vm.counts.used_bytes * 10 > vm.lease_bytes * 8;
    ensure!(listing.vms[1..].iter().all(full), "the others are not full: {listing:#?}");
    let decided = service.decisions()?.len();
    does(&mut vms[0], &format!("read {FILES_MIB} 1"))?;
    let uses = |listing: &Listing| Ok(listing.vms[0].counts.used_bytes * 10 > RESERVATION_BYTES * 9);
    service.decisions_until(PATIENCE, uses)?;
    let decisions = service.decisions()?;
    let leases = decisions[decided..].iter().filter_map(|line| line.pointer("/decision/vms/0/lease/bytes")?.as_u64());
    let least = leases.min().context("nothing was decided meanwhile")?;
    ensure!(least >= RESERVATION_BYTES, "one that woke had {least} bytes, and {RESERVATION_BYTES} are reserved for it");
    Ok(())
}

/// All of them hold swap to the same share, the weights change: what the light ones hold beyond their leases stays, and is
/// shown. Returns how much that is, in bytes.
fn swap_overhangs(service: &Service, vms: &mut [Vm]) -> Result<u64> {
    service.apply(&policy(HEAVY))?;
    service
        .decisions_until(PATIENCE, |listing| Ok(listing.vms.iter().all(is_idle) && listing.vms.iter().all(is_at)))?;
    all_do(vms, "hold 140")?;
    service.decisions_until(PATIENCE, |listing| Ok(listing.vms.iter().all(is_idle)))?;
    service.apply(&policy(LIGHT))?;
    service.decisions_until(DECISIONS, |listing| Ok(listing.vms[..HEAVIEST].iter().all(is_at)))?;
    vms[..HEAVIEST].iter().try_fold(0, |all, vm| {
        let tmem = vm.show()?.tmem.context("no tmem")?;
        ensure!(tmem.used_bytes > tmem.limit_bytes, "{} holds no more than its lease: {tmem:?}", vm.name());
        let shown = vm.tmem("show", &[])?;
        ensure!(shown.contains("tmem overhang"), "no overhang in\n{shown}");
        Ok(all + tmem.used_bytes - tmem.limit_bytes)
    })
}

/// The light ones free what they hold: the overhang is gone, and the heavy one has its share. Returns how many decisions
/// that took.
fn freed_pages_end_the_overhang(service: &Service, vms: &mut [Vm]) -> Result<u64> {
    all_do(&mut vms[..HEAVIEST], "release")?;
    let within = |vm: &VmStatus| vm.counts.used_bytes <= vm.lease_bytes;
    service.decisions_until(DECISIONS, |listing| {
        Ok(listing.vms[..HEAVIEST].iter().all(within) && is_at(&listing.vms[HEAVIEST]))
    })
}

/// What a VM of this weight has where all are idle alike.
fn fair_bytes(weight: u32) -> u64 {
    let free = POOL_BYTES - 3 * RESERVATION_BYTES;
    RESERVATION_BYTES + free * u64::from(weight) / u64::from(2 * LIGHT + HEAVY)
}

fn is_within(bytes: u64, wanted: u64, percent: u64) -> bool {
    bytes.abs_diff(wanted) * 100 <= wanted * percent
}

/// Whether a lease is within 5 % of the entitlement.
fn is_at(vm: &VmStatus) -> bool {
    vm.entitlement_bytes > 0 && is_within(vm.lease_bytes, vm.entitlement_bytes, 5)
}

/// Whether next to nothing of it is in use.
fn is_idle(vm: &VmStatus) -> bool {
    vm.active_basis_points.is_some_and(|active| active < 100)
}
