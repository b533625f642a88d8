//! A machine as its control socket sees it.

use super::Store;
use super::assemble::Machine;
use crate::config::VmConfig;
use crate::control::{ControlError, ControlTarget};
use crate::devices::power::PowerDevice;
use crate::devices::virtio::block::BlockCounters;
use crate::devices::virtio::net::NetCounters;
use crate::hypercall::Hypercalls;
use crate::share::Share;
use protocol::{CounterGroups, GuestReport, TmemReport, VmName, VmReport, VmState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use trace::RecordedClient;

/// What `tmem show` prints and the other control commands act on.
#[derive(Debug)]
pub(super) struct Status {
    name: VmName,
    kernel: String,
    label: Option<String>,
    memory_bytes: u64,
    vcpus: u8,
    started: Instant,
    stopping: AtomicBool,
    power: Arc<PowerDevice>,
    store: Option<RecordedClient>,
    share: Option<Arc<Share>>,
    hypercalls: Option<Arc<Hypercalls>>,
    disks: Vec<Arc<BlockCounters>>,
    nets: Vec<Arc<NetCounters>>,
}

impl Status {
    pub(super) fn new(config: &VmConfig, machine: &Machine, store: Option<&Store>) -> Self {
        Self {
            name: config.name.clone(),
            kernel: config.kernel.path.display().to_string(),
            label: config.tmem.as_ref().and_then(|tmem| tmem.label.clone()),
            memory_bytes: config.memory_bytes,
            vcpus: config.vcpus,
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            power: Arc::clone(machine.power()),
            store: store.map(|store| store.client.clone()),
            share: store.map(|store| Arc::clone(&store.share)),
            hypercalls: machine.hypercalls().cloned(),
            disks: machine.disk_counters().to_vec(),
            nets: machine.net_counters().to_vec(),
        }
    }

    /// Asks the guest to shut down.
    pub(super) fn press_power_button(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.power.press_button();
    }

    fn store(&self) -> Result<&RecordedClient, ControlError> {
        self.store.as_ref().ok_or(ControlError::NoTmem)
    }

    fn counters(&self) -> CounterGroups {
        let named = |(name, value): (&str, u64)| (name.to_owned(), value);
        let mut groups = CounterGroups::new();
        if let Some(store) = &self.store {
            groups.insert("store".to_owned(), store.client().statistics().counters().map(named).collect());
        }
        if let Some(hypercalls) = &self.hypercalls {
            groups.insert("hypercall".to_owned(), hypercalls.counters().counters().map(named).collect());
        }
        for (number, disk) in self.disks.iter().enumerate() {
            groups.insert(format!("disk{number}"), disk.counters().map(named).collect());
        }
        for (number, net) in self.nets.iter().enumerate() {
            groups.insert(format!("net{number}"), net.counters().map(named).collect());
        }
        groups
    }

    fn guest(&self) -> Option<GuestReport> {
        let (report, age) = self.hypercalls.as_ref()?.report()?;
        Some(GuestReport {
            age_ms: milliseconds(age),
            about_to_oom: report.flags & hypercall_abi::REPORT_ABOUT_TO_OOM != 0,
            psi_some_basis_points: report.psi_some,
            psi_full_basis_points: report.psi_full,
            committed_pages: report.committed_pages,
            free_pages: report.free_pages,
            total_pages: report.total_pages,
            swap_in_pages: report.swap_in_pages,
            swap_out_pages: report.swap_out_pages,
        })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl ControlTarget for Status {
    fn report(&self) -> VmReport {
        VmReport {
            name: self.name.clone(),
            pid: std::process::id(),
            state: if self.stopping.load(Ordering::Relaxed) { VmState::Stopping } else { VmState::Running },
            uptime_ms: milliseconds(self.started.elapsed()),
            memory_bytes: self.memory_bytes,
            vcpus: self.vcpus,
            kernel: self.kernel.clone(),
            label: self.label.clone(),
            tmem: self.store.as_ref().map(|store| {
                let statistics = store.client().statistics();
                TmemReport {
                    limit_bytes: statistics.limit_bytes,
                    reservation_bytes: statistics.reservation_bytes,
                    used_bytes: statistics.resident_bytes,
                    frozen: store.client().is_frozen(),
                    share: self.share.as_ref().map(|share| share.report()),
                }
            }),
            counters: self.counters(),
            guest: self.guest(),
        }
    }

    fn set_limit(&self, limit_bytes: u64) -> Result<(), ControlError> {
        self.share.as_ref().ok_or(ControlError::NoTmem)?.set_own_limit(limit_bytes);
        Ok(())
    }

    fn freeze(&self) -> Result<(), ControlError> {
        self.store()?.freeze();
        Ok(())
    }

    fn thaw(&self) -> Result<(), ControlError> {
        self.store()?.thaw();
        Ok(())
    }

    fn flush(&self, bytes: u64) -> Result<u64, ControlError> {
        Ok(self.store()?.flush_ephemeral(bytes))
    }

    fn power_button(&self) -> Result<(), ControlError> {
        self.press_power_button();
        Ok(())
    }
}
