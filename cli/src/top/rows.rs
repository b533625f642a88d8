//! What a screen shows: a row a VM, with rates between two samples, in an order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use protocol::VmName;
use protocol::service::{Counts, HostStatus, VmStatus};

use crate::screen;

/// The host and its VMs at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Instant,
    pub host: HostStatus,
    pub vms: Vec<VmStatus>,
}

/// What rows are sorted by, the largest first; names from a to z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// The VM's name
    Name,
    /// What its store holds
    Used,
    /// What it may hold
    Lease,
    /// What it should hold
    Entitled,
    /// Pages put a second
    Puts,
    /// Pages asked for a second
    Gets,
    /// Pages rejected a second
    Rejects,
}

impl Sort {
    /// The order of a key.
    pub fn of_key(key: char) -> Option<Self> {
        Some(match key {
            'n' => Self::Name,
            'u' => Self::Used,
            'l' => Self::Lease,
            'e' => Self::Entitled,
            'p' => Self::Puts,
            'g' => Self::Gets,
            'r' => Self::Rejects,
            _ => return None,
        })
    }
}

/// A VM, with what it did a second since the sample before.
#[derive(Clone, Debug)]
pub struct Row {
    pub vm: VmStatus,
    pub puts: Option<u64>,
    pub gets: Option<u64>,
    pub rejects: Option<u64>,
    pub evicts: Option<u64>,
}

/// Titles of the columns.
pub const HEAD: [&str; 11] =
    ["NAME", "CLASS", "WEIGHT", "USED", "LEASE", "ENTITLED", "ACTIVE", "PUT/s", "GET/s", "REJECT/s", "EVICT/s"];

impl Row {
    /// Its cells, as [`HEAD`] names them.
    pub fn cells(&self) -> [String; 11] {
        let rate = |rate: Option<u64>| rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string());
        let frozen = if self.vm.counts.frozen { " frozen" } else { "" };
        [
            self.vm.name.to_string(),
            self.vm.class.clone(),
            self.vm.weight.to_string(),
            format!("{}{frozen}", screen::size(self.vm.counts.used_bytes)),
            screen::size(self.vm.lease_bytes),
            screen::size(self.vm.entitlement_bytes),
            self.vm.active_basis_points.map_or_else(|| "stale".into(), |active| format!("{} %", active / 100)),
            rate(self.puts),
            rate(self.gets),
            rate(self.rejects),
            rate(self.evicts),
        ]
    }
}

/// The rows of a sample. Rates are those since `before`; a VM that was not there, or was started again, has none yet.
pub fn rows(before: Option<&Sample>, now: &Sample, sort: Sort) -> Vec<Row> {
    let earlier: HashMap<&VmName, &Counts> =
        before.into_iter().flat_map(|sample| &sample.vms).map(|vm| (&vm.name, &vm.counts)).collect();
    let elapsed = before.map_or(Duration::ZERO, |before| now.at.saturating_duration_since(before.at));
    let mut rows: Vec<Row> = now
        .vms
        .iter()
        .map(|vm| {
            let rate = |count: fn(&Counts) -> u64| {
                per_second(count(&vm.counts).checked_sub(count(earlier.get(&vm.name)?))?, elapsed)
            };
            Row {
                vm: vm.clone(),
                puts: rate(|counts| counts.puts_accepted),
                gets: rate(Counts::gets),
                rejects: rate(Counts::puts_rejected),
                evicts: rate(|counts| counts.pages_evicted),
            }
        })
        .collect();
    let largest_first = |rows: &mut Vec<Row>, key: fn(&Row) -> Option<u64>| {
        rows.sort_by_key(|row| std::cmp::Reverse(key(row)));
    };
    match sort {
        Sort::Name => {}
        Sort::Used => largest_first(&mut rows, |row| Some(row.vm.counts.used_bytes)),
        Sort::Lease => largest_first(&mut rows, |row| Some(row.vm.lease_bytes)),
        Sort::Entitled => largest_first(&mut rows, |row| Some(row.vm.entitlement_bytes)),
        Sort::Puts => largest_first(&mut rows, |row| row.puts),
        Sort::Gets => largest_first(&mut rows, |row| row.gets),
        Sort::Rejects => largest_first(&mut rows, |row| row.rejects),
    }
    rows
}

fn per_second(count: u64, elapsed: Duration) -> Option<u64> {
    let rate = (u128::from(count) * 1000).checked_div(elapsed.as_millis())?;
    u64::try_from(rate).ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn vm(name: &str, used_bytes: u64, puts: u64) -> VmStatus {
        VmStatus {
            name: name.parse().unwrap(),
            uid: 0,
            pid: 1,
            cgroup: None,
            label: None,
            class: "default".into(),
            weight: 100,
            memory_bytes: 1 << 30,
            lease_bytes: 64 << 20,
            entitlement_bytes: 32 << 20,
            reservation_bytes: 0,
            limit_bytes: 1 << 30,
            active_basis_points: Some(5000),
            counts_age_ms: 0,
            counts: Counts { used_bytes, puts_accepted: puts, ..Counts::default() },
        }
    }

    pub fn sample(at: Instant, vms: Vec<VmStatus>) -> Sample {
        let host = HostStatus {
            state: "soft".into(),
            cause: "memory".into(),
            mode: "enforce".into(),
            total_bytes: 4 << 30,
            available_bytes: 1 << 30,
            psi_some_basis_points: None,
            psi_full_basis_points: None,
            pool_bytes: 1 << 30,
            used_bytes: 96 << 20,
            freeable_bytes: 0,
            vms: vms.len() as u64,
            decisions: 1,
            decided_ms_ago: 0,
            interval_ms: 1000,
            policy_path: None,
            policy_generation: 1,
            policy_sha256: String::new(),
            policy_error: None,
        };
        Sample { at, host, vms }
    }

    #[test]
    fn rates_are_between_two_samples_and_of_the_same_vm() {
        let at = Instant::now();
        let before = sample(at, vec![vm("a", 0, 1000), vm("back", 0, 500)]);
        let now = sample(at + Duration::from_secs(2), vec![vm("a", 0, 3000), vm("back", 0, 10), vm("new", 0, 7)]);
        let rates: Vec<_> = rows(Some(&before), &now, Sort::Name).iter().map(|row| row.puts).collect();
        assert_eq!(rates, [Some(1000), None, None]);
        assert_eq!(rows(None, &now, Sort::Name)[0].puts, None);
        assert_eq!(rows(Some(&now), &now, Sort::Name)[0].puts, None, "no time has passed");
    }

    #[test]
    fn each_order_puts_the_largest_first() {
        let now = sample(Instant::now(), vec![vm("a", 1, 0), vm("b", 3, 0), vm("c", 2, 0)]);
        let order = |sort| rows(None, &now, sort).iter().map(|row| row.vm.name.to_string()).collect::<String>();
        assert_eq!(order(Sort::Name), "abc");
        assert_eq!(order(Sort::Used), "bca");
        assert_eq!(Sort::of_key('u'), Some(Sort::Used));
        assert_eq!(Sort::of_key('?'), None);
    }
}
