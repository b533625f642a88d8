//! Three guests of unlike weights under one host service, whose pool is smaller than what they want: leases go to the
//! entitlements, the service is killed under load, and no accepted page is lost.

use super::exactness::both_sides_agree;
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Listing, Service, Spec, Vm};
use anyhow::{Context, Result, ensure};
use protocol::service::VmStatus;
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

pub(super) const CASE: Case = Case {
    name: "leases",
    shows: "three guests under one host service: leases go to entitlements; it is killed under load, nothing is lost",
    runs: Runs::OF_THE_HOST,
    host,
    guest,
};

const MIB: u64 = 1 << 20;
const POOL_MIB: u64 = 96;
/// The heavy one has the default; a name alone may lower a share.
const POLICY: &str = r#"
pool = { size_max = "96MiB", size_min = "96MiB" }
share = { idle_after = "5s", min_change = "256KiB" }
host.claim = false
class.default = { weight = 400, tmem.limit = "100%" }
class.light.weight = 100
[[vm]]
match.name = "leases-*-1"
class = "light"
[[vm]]
match.name = "leases-*-2"
class = "light"
"#;
/// Decisions in which leases come to their entitlements.
const DECISIONS: u64 = 25;
/// Which of the guests is the heavy one.
const HEAVY: usize = 2;
/// How often the service is killed under load.
const KILLS: u32 = 3;

fn host(host: &mut Host) -> Result<()> {
    let mut service = host.start_service(POLICY)?;
    let mut vms = vec![start(host, &service, "disk1")?, start(host, &service, "disk2")?];
    for vm in &mut vms {
        vm.expect("holding")?;
    }
    // The two have all of the pool, half each.
    for vm in &vms {
        let used = service.list()?.vm(vm.name())?.counts.used_bytes;
        ensure!(used > POOL_MIB * MIB / 4, "{} holds {used} bytes: too little to show anything", vm.name());
    }

    vms.push(start(host, &service, "disk3")?);
    vms[HEAVY].expect("holding")?;
    let names: Vec<String> = vms.iter().map(|vm| vm.name().to_owned()).collect();
    let listing = service.list()?;
    let weights = names.iter().map(|name| Ok(listing.vm(name)?.weight)).collect::<Result<Vec<u32>>>()?;
    ensure!(weights == [100, 100, 400], "the weights are {weights:?}");
    let are_at = |listing: &Listing, names: &[String]| {
        names.iter().try_fold(true, |all, name| Ok::<_, anyhow::Error>(all && is_at(listing.vm(name)?)))
    };
    let mut passed = service.decisions_until(DECISIONS, |listing| are_at(listing, &names[..HEAVY]))?;
    // What they hold beyond is persistent: it stays, and is shown.
    let overhanging =
        vms.iter().filter_map(|vm| vm.show().ok()?.tmem).filter(|tmem| tmem.used_bytes > tmem.limit_bytes);
    host.note(format!("{} hold more than their lease", overhanging.count()));

    for kill in 0..KILLS {
        for vm in &mut vms {
            vm.go()?;
        }
        thread::sleep(Duration::from_secs(2));
        let before = leases(&service, &names)?;
        service.kill()?;
        thread::sleep(Duration::from_secs(2));
        let meanwhile = vms[0].show()?.tmem.and_then(|tmem| tmem.share).context("no share")?;
        ensure!(!meanwhile.is_connected && meanwhile.lease_bytes > 0, "without a service: {meanwhile:?}");
        service.start_again()?;
        service.decisions_until(DECISIONS, |listing| Ok(listing.vms.len() == names.len()))?;
        let after = leases(&service, &names)?;
        host.note(format!("kill {kill}: leases {:?} MiB before, {:?} after", mib(&before), mib(&after)));
        for vm in &mut vms {
            vm.expect("verified")?;
        }
    }

    // The light ones free what they hold: the overhang is gone, and the heavy one has its share.
    for vm in &mut vms[..HEAVY] {
        vm.go()?;
        vm.expect("freed")?;
    }
    passed = passed.max(service.decisions_until(DECISIONS, |listing| are_at(listing, &names[HEAVY..]))?);
    for vm in &vms[..HEAVY] {
        let tmem = vm.show()?.tmem.context("no tmem")?;
        ensure!(tmem.used_bytes <= tmem.limit_bytes, "{} still overhangs: {tmem:?}", vm.name());
    }
    host.note(format!("within 5 % of the entitlements after {passed} decisions"));
    let explained = service.tmem(&["policy", "explain", &names[HEAVY]])?;
    ensure!(explained.contains("weight 400"), "the explanation lacks the weight: {explained}");

    vms[HEAVY].go()?;
    vms[HEAVY].expect("freed")?;
    for mut vm in vms {
        let counters: Counters = serde_json::from_value(vm.expect("counted")?)?;
        both_sides_agree(&counters, &vm.show()?)?;
        vm.go()?;
        vm.finish()?;
    }
    Ok(())
}

fn start(host: &mut Host, service: &Service, disk: &str) -> Result<Vm> {
    let disk = host.disk(disk, 256 << 20)?;
    host.start(&Spec { memory_mib: 112, service: Some(service.socket()), ..Spec::default() }.disk(disk))
}

/// Whether a lease is within 5 % of the entitlement.
fn is_at(vm: &VmStatus) -> bool {
    vm.entitlement_bytes > 0 && vm.lease_bytes.abs_diff(vm.entitlement_bytes) * 20 <= vm.entitlement_bytes
}

fn leases(service: &Service, names: &[String]) -> Result<Vec<u64>> {
    let listing = service.list()?;
    names.iter().map(|name| Ok(listing.vm(name)?.lease_bytes)).collect()
}

fn mib(bytes: &[u64]) -> Vec<u64> {
    bytes.iter().map(|bytes| bytes / MIB).collect()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&["backing=/dev/vda"])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let held_size = guest.percent_of_memory(150)?;
    let mut held = guest.start_load(&["--size", &held_size, "--passes", "1", "--hold", "line", "--seed", "9"])?;
    held.wait_until_holding()?;
    guest.sync("holding", &Value::Null)?;
    for round in 0..KILLS {
        // Beside what is held: pages move both ways while the service dies and comes back.
        let seed = round.to_string();
        guest.load(&["--size", &guest.percent_of_memory(30)?, "--passes", "2", "--seed", &seed])?;
        guest.sync("verified", &Value::Null)?;
    }
    held.go()?;
    held.finish()?;
    Counters::settled()?;
    guest.tell("freed", &Value::Null);
    guest.sync("counted", &json!(Counters::settled()?))?;
    swap.off()
}
