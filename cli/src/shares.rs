//! `tmem list -l` and `tmem freeable`: what the host service knows of all VMs.

use std::path::Path;

use anyhow::Result;
use protocol::service::{HostStatus, VmStatus};
use serde_json::json;

use crate::screen;
use crate::service::Service;

/// The host and what each VM has of it.
pub fn list(socket: &Path, json: bool) -> Result<()> {
    let mut service = Service::open(socket)?;
    let host = service.host()?;
    let vms = service.vms()?;
    if json {
        let text = serde_json::to_string_pretty(&json!({ "host": host, "vms": vms }))?;
        return screen::print(&format!("{text}\n"));
    }
    screen::print(&format!("{}\n{}", in_a_line(&host), table(&vms)))
}

/// How much of the host's memory holds ephemeral pages, which can be had back at once.
pub fn freeable(socket: &Path, json: bool) -> Result<()> {
    let host = Service::open(socket)?.host()?;
    if json {
        return screen::print(&format!("{}\n", json!({ "freeable_bytes": host.freeable_bytes })));
    }
    screen::print(&format!("{}\n", screen::size(host.freeable_bytes)))
}

/// The host in a line.
pub fn in_a_line(host: &HostStatus) -> String {
    let (available, total) = (screen::size(host.available_bytes), screen::size(host.total_bytes));
    let (used, pool) = (screen::size(host.used_bytes), screen::size(host.pool_bytes));
    let observing = if host.mode == "observe" { ", observing only" } else { "" };
    format!(
        "host {} ({}){observing}   {available} of {total} available   pool {used} of {pool} used, {} freeable",
        host.state,
        host.cause,
        screen::size(host.freeable_bytes)
    )
}

fn table(vms: &[VmStatus]) -> String {
    let head = ["NAME", "CLASS", "WEIGHT", "USED", "LEASE", "ENTITLED", "RESERVED", "LIMIT", "ACTIVE", "FREEABLE"];
    screen::table(std::iter::once(head.map(str::to_owned)).chain(vms.iter().map(row)))
}

fn row(vm: &VmStatus) -> [String; 10] {
    let frozen = if vm.counts.frozen { " (frozen)" } else { "" };
    [
        vm.name.to_string(),
        vm.class.clone(),
        vm.weight.to_string(),
        format!("{}{frozen}", screen::size(vm.counts.used_bytes)),
        screen::size(vm.lease_bytes),
        screen::size(vm.entitlement_bytes),
        screen::size(vm.reservation_bytes),
        screen::size(vm.limit_bytes),
        vm.active_basis_points.map_or_else(|| "stale".into(), |active| format!("{} %", active / 100)),
        screen::size(vm.counts.ephemeral_bytes),
    ]
}
