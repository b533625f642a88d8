//! `tmem policy explain VM`: why a VM has what it has.

use std::path::Path;

use anyhow::Result;
use protocol::VmName;
use serde_json::Value;

use crate::screen;
use crate::service::Service;

/// Prints the last decision about a VM with the numbers that led to it.
pub fn explain(socket: &Path, vm: &VmName, json: bool) -> Result<()> {
    let decision = Service::open(socket)?.explain(vm.clone())?;
    if json {
        return screen::print(&format!("{decision:#}\n"));
    }
    screen::print(&in_words(&decision))
}

/// The steps from what was seen to the lease, one line each.
pub fn in_words(decision: &Value) -> String {
    let at = |path: &str| decision.pointer(path).unwrap_or(&Value::Null);
    let size = |path: &str| at(path).as_u64().map_or_else(|| "?".to_owned(), screen::size);
    let text = |path: &str| at(path).as_str().unwrap_or("?").to_owned();
    let count = |path: &str| at(path).as_u64().map_or_else(|| "?".to_owned(), |count| count.to_string());
    let class = match at("/decided/standing/rule").as_u64() {
        Some(rule) => format!("{} ([[vm]] rule {})", text("/decided/standing/class"), rule + 1),
        None => format!("{} (no [[vm]] rule matches)", text("/decided/standing/class")),
    };
    let class = match at("/decided/standing/lowered_by/1").as_str() {
        Some(lower) => format!("{class}, lowered to {lower}"),
        None => class,
    };
    let active = at("/decided/active").as_str().map_or_else(
        || "its counts are stale: neither taxed nor given more".to_owned(),
        |active| {
            format!(
                "{active} in use: {} hits, {} pages stored",
                count("/observed/statistics/hit_pages"),
                count("/observed/statistics/stored_pages")
            )
        },
    );
    let rows = [
        ("decided", format!("{} ms ago, mode {}", count("/decided_ms_ago"), text("/mode"))),
        (
            "policy",
            format!(
                "{}, generation {}",
                at("/policy/path").as_str().unwrap_or("built in"),
                count("/policy/generation")
            ),
        ),
        (
            "host",
            format!(
                "{} ({}): {} of {} available",
                text("/host/state/level"),
                text("/host/cause"),
                size("/host/observed/available_bytes"),
                size("/host/observed/total_bytes")
            ),
        ),
        (
            "pool",
            format!(
                "{}: {} held by all, {} to spare, {} missing",
                size("/pool/bytes"),
                size("/pool/in_use_bytes"),
                size("/pool/spare_bytes"),
                size("/pool/missing_bytes")
            ),
        ),
        ("class", class),
        (
            "terms",
            format!(
                "weight {}, reservation {}, limit {}, of it ephemeral {}",
                count("/decided/terms/weight"),
                size("/decided/terms/tmem_reservation_bytes"),
                size("/decided/terms/tmem_limit_bytes"),
                text("/decided/terms/tmem_ephemeral")
            ),
        ),
        ("active", active),
        (
            "wants",
            format!(
                "{}: holds {}, {} pages rejected since",
                size("/decided/claim/wanted_bytes"),
                size("/decided/claim/used_bytes"),
                count("/observed/statistics/rejected_pages")
            ),
        ),
        ("entitled to", size("/decided/lease/holding/entitlement_bytes")),
        (
            "lease",
            format!(
                "{} (was {}): {}",
                size("/decided/lease/bytes"),
                size("/decided/lease/holding/lease_bytes"),
                reason(&text("/decided/lease/reason"))
            ),
        ),
    ];
    screen::table(rows.map(|(what, value)| [what.to_owned(), value]))
}

/// What a reason of the laws means.
fn reason(word: &str) -> &str {
    match word {
        "entitled" => "it is what the VM is entitled to",
        "small-change" => "the change would be too small to matter",
        "reservation" => "it was below the reservation, which is given at once",
        "limit" => "it was above the limit",
        "shrink-step" => "it shrinks by a step",
        "host-short" => "it shrinks at once, because the host is short",
        "pool-full" => "all leases together were more than the pool",
        "grow" => "it grows",
        "no-room" => "it should grow, and others still hold what it would get",
        other => other,
    }
}
