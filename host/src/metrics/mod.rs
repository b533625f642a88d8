//! Metrics in the OpenMetrics text format, made anew for each scrape from what the service knows.

mod address;
mod http;
mod listener;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use protocol::service::{HostStatus, VmStatus};

pub use address::{Address, AddressError};
pub(crate) use listener::Listener;

/// What goes before each name.
const PREFIX: &str = "tmem";

/// The host's states, by their names.
const STATES: [&str; 5] = ["high", "clear", "soft", "hard", "low"];

/// Intervals without a decision after which the service counts as stuck.
const STUCK_INTERVALS: u64 = 3;

/// What the service knows at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The host; absent before the first decision.
    pub host: Option<HostStatus>,
    /// Every VM.
    pub vms: Vec<VmStatus>,
    /// Interval of the policy in milliseconds.
    pub interval_ms: u64,
    /// Connections of any kind.
    pub connections: u64,
    /// What others did wrong, by kind.
    pub incidents: Vec<(&'static str, u64)>,
    /// Policies on the disk that were not put in force.
    pub reloads_failed: u64,
}

impl Snapshot {
    /// The whole text of a scrape.
    #[must_use]
    pub fn text(self) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // A string takes all that is written to it.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

/// Writes metrics, one family after the other.
struct Families<'a>(DescriptorEncoder<'a>);

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// A kind of what a VM counts, and where that is.
type Kind = (&'static str, fn(&VmStatus) -> u64);

impl Families<'_> {
    /// A level that goes up and down.
    fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in values {
            if labels.is_empty() {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    /// A count that only grows.
    fn counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            if labels.is_empty() {
                family.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            } else {
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            }
        }
        Ok(())
    }
}

/// A number of bytes, pages or percent as metrics have numbers; exact below 8 PiB.
#[expect(clippy::cast_precision_loss, reason = "metrics are 64-bit floating point numbers")]
fn number(value: u64) -> f64 {
    value as f64
}

fn alone(value: f64) -> [(Labels<'static>, f64); 1] {
    [(Vec::new(), value)]
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        if let Some(host) = &self.host {
            self.encode_host(host, &mut families)?;
        }
        self.encode_vms(&mut families)?;
        self.encode_service(&mut families)
    }
}

impl Snapshot {
    fn encode_host(&self, host: &HostStatus, families: &mut Families<'_>) -> fmt::Result {
        let bytes = Some(&Unit::Bytes);
        let states = STATES.map(|name| (vec![("state", name)], f64::from(u8::from(host.state == name))));
        families.gauge("host_state", "1 for the state that the host is in", None, states)?;
        families.gauge("host_memory_total", "MemTotal", bytes, alone(number(host.total_bytes)))?;
        families.gauge("host_memory_available", "MemAvailable", bytes, alone(number(host.available_bytes)))?;
        let pressures = [("some", host.psi_some_basis_points), ("full", host.psi_full_basis_points)];
        let pressures = pressures
            .into_iter()
            .filter_map(|(kind, points)| Some((vec![("kind", kind)], f64::from(points?) / 10_000.0)));
        families.gauge("host_pressure_avg10", "Memory pressure over 10 s", Some(&Unit::Ratios), pressures)?;
        families.gauge("pool_size", "What all stores together may hold", bytes, alone(number(host.pool_bytes)))?;
        families.gauge("pool_used", "What all stores together hold", bytes, alone(number(host.used_bytes)))?;
        families.gauge("pool_freeable", "What of it can be evicted", bytes, alone(number(host.freeable_bytes)))?;
        let seconds = number(host.decided_ms_ago) / 1000.0;
        families.gauge("decision_age", "Time since the last decision", Some(&Unit::Seconds), alone(seconds))?;
        let is_stuck = host.decided_ms_ago > self.interval_ms.saturating_mul(STUCK_INTERVALS);
        let help = "1 where no decision was made for three intervals";
        families.gauge("decision_overdue", help, None, alone(f64::from(u8::from(is_stuck))))?;
        families.counter("decisions", "Decisions made", [(Vec::new(), host.decisions)])?;
        let generation = host.policy_generation.to_string();
        let mut info = families.0.encode_descriptor("policy", "The policy in force", None, MetricType::Info)?;
        info.encode_info(&vec![
            ("generation", generation.as_str()),
            ("sha256", host.policy_sha256.as_str()),
            ("mode", host.mode.as_str()),
        ])?;
        let has_error = f64::from(u8::from(host.policy_error.is_some()));
        let help = "1 where the policy on the disk is not in force, because it is not valid";
        families.gauge("policy_error", help, None, alone(has_error))
    }

    fn encode_vms(&self, families: &mut Families<'_>) -> fmt::Result {
        let bytes = Some(&Unit::Bytes);
        let mut gauge = |name, help, unit, value: fn(&VmStatus) -> Option<f64>| {
            let values = self.vms.iter().filter_map(|vm| Some((vec![("vm", vm.name.as_str())], value(vm)?)));
            families.gauge(name, help, unit, values)
        };
        gauge("vm_lease", "What its store may hold", bytes, |vm| Some(number(vm.lease_bytes)))?;
        gauge("vm_entitlement", "What its store should hold", bytes, |vm| Some(number(vm.entitlement_bytes)))?;
        gauge("vm_reservation", "What is never taken from it", bytes, |vm| Some(number(vm.reservation_bytes)))?;
        gauge("vm_limit", "What it never exceeds", bytes, |vm| Some(number(vm.limit_bytes)))?;
        gauge("vm_memory", "The guest's memory", bytes, |vm| Some(number(vm.memory_bytes)))?;
        gauge("vm_weight", "Its weight", None, |vm| Some(f64::from(vm.weight)))?;
        gauge("vm_used", "What its store holds", bytes, |vm| Some(number(vm.counts.used_bytes)))?;
        gauge("vm_freeable", "What of it can be evicted", bytes, |vm| Some(number(vm.counts.ephemeral_bytes)))?;
        gauge("vm_overhang", "What it holds beyond its lease", bytes, |vm| {
            Some(number(vm.counts.used_bytes.saturating_sub(vm.lease_bytes)))
        })?;
        gauge("vm_frozen", "1 while it is frozen", None, |vm| Some(f64::from(u8::from(vm.counts.frozen))))?;
        gauge("vm_active", "Part of its pages in use", Some(&Unit::Ratios), |vm| {
            Some(f64::from(vm.active_basis_points?) / 10_000.0)
        })?;
        gauge("vm_counts_age", "Age of its counts", Some(&Unit::Seconds), |vm| {
            Some(number(vm.counts_age_ms) / 1000.0)
        })?;

        gauge("vm_same_filled_pages", "Pages held as one repeated word", None, |vm| {
            Some(number(vm.counts.same_filled_pages))
        })?;

        let pages = self.by_kind(
            "kind",
            &[("persistent", |vm| vm.counts.persistent_pages), ("ephemeral", |vm| vm.counts.ephemeral_pages)],
        );
        families.gauge("vm_pages", "Pages held", None, pages.map(|(labels, pages)| (labels, number(pages))))?;
        let puts = self.by_kind(
            "result",
            &[
                ("stored", |vm| vm.counts.puts_accepted),
                ("no_space", |vm| vm.counts.puts_rejected_no_space),
                ("over_limit", |vm| vm.counts.puts_rejected_over_limit),
                ("frozen", |vm| vm.counts.puts_rejected_frozen),
                ("poor_ratio", |vm| vm.counts.puts_rejected_poor_ratio),
                ("busy", |vm| vm.counts.puts_rejected_busy),
            ],
        );
        families.counter("vm_puts", "Pages put, by result", puts)?;
        let gets = self.by_kind(
            "result",
            &[
                ("hit", |vm| vm.counts.gets_hit),
                ("miss", |vm| vm.counts.gets_miss),
                ("empty", |vm| vm.counts.gets_empty),
            ],
        );
        families.counter("vm_gets", "Pages asked for, by result", gets)?;
        let mut counter = |name, help, value: fn(&VmStatus) -> u64| {
            families.counter(name, help, self.vms.iter().map(|vm| (vec![("vm", vm.name.as_str())], value(vm))))
        };
        counter("vm_evicted_pages", "Ephemeral pages that made way", |vm| vm.counts.pages_evicted)?;
        counter("vm_merged_pages", "Pages found equal to another", |vm| vm.counts.pages_merged)
    }

    /// A number of each kind of each VM, with the kind as a label of its own.
    fn by_kind(&self, label: &'static str, kinds: &'static [Kind]) -> impl Iterator<Item = (Labels<'_>, u64)> {
        kinds.iter().flat_map(move |(kind, value)| {
            self.vms.iter().map(move |vm| (vec![("vm", vm.name.as_str()), (label, *kind)], value(vm)))
        })
    }

    fn encode_service(&self, families: &mut Families<'_>) -> fmt::Result {
        families.gauge("vms", "VMs registered", None, alone(number(self.vms.len() as u64)))?;
        families.gauge("connections", "Connections of any kind", None, alone(number(self.connections)))?;
        let incidents = self.incidents.iter().map(|(kind, count)| (vec![("kind", *kind)], *count));
        families.counter("incidents", "What others did wrong, by kind", incidents)?;
        let help = "Policies on the disk that were not put in force";
        families.counter("reloads_failed", help, [(Vec::new(), self.reloads_failed)])
    }
}
