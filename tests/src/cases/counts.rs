//! What the host service says of its VMs, in `tmem list`, `tmem top` and its metrics, is what their guests counted.

use super::exactness::both_sides_agree;
use super::told::counters;
use crate::guest::Counters;
use crate::host::{Listing, Service, Vm};
use anyhow::{Context, Result, ensure};
use protocol::service::VmStatus;

/// Decisions in which the last report of a VM that rests has come.
const DECISIONS: u64 = 30;
const MIB: f64 = 1_048_576.0;

/// A number of a VM, as the service has it.
type OfVm = fn(&VmStatus) -> u64;

/// A counter of the driver, the metric and result that are its like, and the count of the service.
const COUNTED: [(&str, &str, &str, OfVm); 7] = [
    ("puts_accepted", "puts", "stored", |vm| vm.counts.puts_accepted),
    ("puts_rejected_no_space", "puts", "no_space", |vm| vm.counts.puts_rejected_no_space),
    ("puts_rejected_over_limit", "puts", "over_limit", |vm| vm.counts.puts_rejected_over_limit),
    ("puts_rejected_frozen", "puts", "frozen", |vm| vm.counts.puts_rejected_frozen),
    ("puts_rejected_poor_ratio", "puts", "poor_ratio", |vm| vm.counts.puts_rejected_poor_ratio),
    ("puts_rejected_busy", "puts", "busy", |vm| vm.counts.puts_rejected_busy),
    ("gets_hit", "gets", "hit", |vm| vm.counts.gets_hit),
];

/// Levels that have a metric of their own.
const LEVELS: [(&str, OfVm); 4] = [
    ("lease_bytes", |vm| vm.lease_bytes),
    ("entitlement_bytes", |vm| vm.entitlement_bytes),
    ("used_bytes", |vm| vm.counts.used_bytes),
    ("freeable_bytes", |vm| vm.counts.ephemeral_bytes),
];

/// The service and guests that rest have counted the same.
pub(super) fn everybody_counts_the_same(service: &Service, vms: &mut [Vm]) -> Result<()> {
    let mut counted = Vec::new();
    for vm in &mut *vms {
        let guest = counters(vm)?;
        both_sides_agree(&guest, &vm.show()?)?;
        counted.push((vm.name().to_owned(), guest));
    }
    let all_agree = |listing: &Listing| {
        counted.iter().try_fold(true, |all, (name, guest)| Ok(all && agrees(guest, listing.vm(name)?)?))
    };
    service.decisions_until(DECISIONS, all_agree)?;
    service.decisions_until(DECISIONS, |listing| {
        let same = listing.vms.iter().try_for_each(|vm| metrics_say_the_same(service, vm));
        let same = same.and_then(|()| top_says_the_same(service, listing));
        // Leases may still be on their way.
        if levels(listing) == levels(&service.list()?) { same.map(|()| true) } else { Ok(false) }
    })?;
    Ok(())
}

/// What can change while guests rest.
fn levels(listing: &Listing) -> Vec<u64> {
    listing.vms.iter().flat_map(|vm| LEVELS.map(|(_, level)| level(vm))).collect()
}

/// Whether the driver and the service have counted the same.
fn agrees(guest: &Counters, vm: &VmStatus) -> Result<bool> {
    // The driver counts what is gone and what was never there as one.
    let misses = vm.counts.gets_miss + vm.counts.gets_empty;
    COUNTED.iter().try_fold(guest.driver("gets_miss")? == misses, |agrees, (name, .., count)| {
        Ok(agrees && guest.driver(name)? == count(vm))
    })
}

#[expect(clippy::cast_precision_loss, reason = "metrics are 64-bit floating point numbers")]
fn metrics_say_the_same(service: &Service, vm: &VmStatus) -> Result<()> {
    let counts = COUNTED.map(|(_, metric, result, count)| {
        (format!("{metric}_total{{vm=\"{}\",result=\"{result}\"}}", vm.name), count(vm))
    });
    let levels = LEVELS.map(|(metric, level)| (format!("{metric}{{vm=\"{}\"}}", vm.name), level(vm)));
    for (metric, listed) in counts.into_iter().chain(levels) {
        let found = service.metric(&format!("tmem_vm_{metric}"))?;
        ensure!(found == listed as f64, "{metric} is {found}, and {listed} in the list");
    }
    Ok(())
}

/// `tmem top -b` of VMs that rest: the sizes of the list, and nothing done.
fn top_says_the_same(service: &Service, listing: &Listing) -> Result<()> {
    let text = service.tmem(&["top", "-b", "-n", "2"])?;
    for vm in &listing.vms {
        let [_, _, weight, used, lease, entitled, _, rates @ ..] = row(&text, vm.name.as_str())?;
        ensure!(weight == vm.weight.to_string(), "the weight of {vm:?} in\n{text}");
        for (cell, bytes) in [(used, vm.counts.used_bytes), (lease, vm.lease_bytes), (entitled, vm.entitlement_bytes)] {
            ensure!(is_shown_as(&cell, bytes)?, "{cell} is not {bytes} bytes: {vm:?} in\n{text}");
        }
        ensure!(rates.iter().all(|rate| rate == "0"), "{} rests, and not in\n{text}", vm.name);
    }
    Ok(())
}

/// The last row of a VM in what `tmem top -b` printed.
pub(super) fn row(text: &str, vm: &str) -> Result<[String; 11]> {
    let row = text.lines().rfind(|line| line.split_whitespace().next() == Some(vm));
    let cells = row.with_context(|| format!("no {vm} in\n{text}"))?.split("  ").map(str::trim);
    let cells: Vec<String> = cells.filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
    cells.try_into().map_err(|cells| anyhow::anyhow!("a row of other cells: {cells:?}"))
}

/// Whether a size for people, cut to a tenth of its unit or to a whole one, is of so many bytes.
#[expect(clippy::cast_precision_loss, reason = "to a tenth")]
fn is_shown_as(cell: &str, bytes: u64) -> Result<bool> {
    let (number, unit) = cell.split_once(' ').with_context(|| format!("{cell} is no size"))?;
    let unit = match unit {
        "B" => 1.0,
        "KiB" => MIB / 1024.0,
        "MiB" => MIB,
        "GiB" => MIB * 1024.0,
        _ => anyhow::bail!("{cell} is no size"),
    };
    let shown = number.parse::<f64>()? * unit;
    let least = if number.contains('.') || shown < 100.0 * unit { unit / 10.0 } else { unit };
    Ok(shown <= bytes as f64 && (bytes as f64) < shown + least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_compared_to_the_digit_that_is_shown() {
        for (cell, bytes, is) in [
            ("16 MiB", 16 << 20, true),
            ("16 MiB", (16 << 20) + 100_000, true),
            ("16 MiB", 17 << 20, false),
            ("16.5 MiB", 33 << 19, true),
            ("120 MiB", (120 << 20) + 900_000, true),
            ("7 B", 7, true),
            ("7 B", 8, false),
        ] {
            assert_eq!(is_shown_as(cell, bytes).unwrap(), is, "{cell}, {bytes}");
        }
        assert!(is_shown_as("much", 1).is_err());
    }

    #[test]
    fn a_row_is_the_last_one_of_the_vm() {
        let text =
            "NAME  CLASS\na  x  1  2 MiB  3 B  4 B  5 %  -  -  -  -\na  x  1  2 MiB  3 B  4 B  5 %  6  7  8  9\n";
        assert_eq!(row(text, "a").unwrap()[7], "6");
        assert!(row(text, "b").is_err());
    }
}
