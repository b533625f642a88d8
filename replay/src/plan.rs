//! What is played: recorded VMs, on a host, by a policy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use policy::schema::Mode;
use policy::{Policy, SizeOrPercent};
use protocol::VmName;

use crate::error::Error;
use crate::limits::{INTERVALS_MAX, VMS_MAX, WEIGHTS};
use crate::log::{DecisionLog, Logged};
use crate::recording::Recording;

/// The host that the VMs are played on.
#[derive(Debug)]
pub enum Host {
    /// One that is never short, with a pool that is always of this size. All traces begin together, and of a VM nothing
    /// is known but its name: no rule on a user or a control group is for it.
    Constant {
        /// The size of the pool.
        pool_bytes: u64,
    },
    /// The one of a decision log, which also says who the VMs were and when they came.
    Logged(DecisionLog),
}

/// Recorded VMs, to be played on a host.
#[derive(Debug)]
pub struct Plan {
    pub(crate) policy: Policy,
    pub(crate) host: Host,
    /// In the order of their names.
    recordings: Vec<Recording>,
    /// When the first VM came, in milliseconds since 1970; 0 where nothing says so.
    pub(crate) origin_ms: u64,
    weights: BTreeMap<VmName, u32>,
}

impl Plan {
    /// Reads every trace once. `policy` is acted on whatever its mode is.
    ///
    /// # Errors
    /// [`Error`]; nothing was played then.
    pub fn new(policy: Policy, host: Host, mut traces: Vec<(VmName, PathBuf)>) -> Result<Self, Error> {
        traces.sort();
        if let Some(pair) = traces.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::Twice(pair[0].0.clone()));
        }
        if traces.len() > VMS_MAX {
            return Err(Error::TooMany(traces.len()));
        }
        let origin_ms = match &host {
            Host::Constant { .. } => 0,
            Host::Logged(log) => first_ms(log, &traces)?,
        };
        let recordings = traces.into_iter().map(|(vm, path)| Recording::survey(vm, path));
        let recordings = recordings.collect::<Result<_, _>>()?;
        let plan = Self { policy: acted_on(policy, &host), host, recordings, origin_ms, weights: BTreeMap::new() };
        match plan.recordings.iter().find(|recording| plan.is_too_long(recording)) {
            Some(recording) => Err(too_long(recording)),
            None => Ok(plan),
        }
    }

    /// Sets a VM's weight, in place of its class's and of what the log has, as `tmem set` does.
    ///
    /// # Errors
    /// [`Error::NotPlayed`], [`Error::Weight`]
    pub fn set_weight(&mut self, vm: &VmName, weight: u32) -> Result<(), Error> {
        if !self.recordings.iter().any(|recording| recording.vm() == vm) {
            return Err(Error::NotPlayed(vm.clone()));
        }
        if !WEIGHTS.contains(&weight) {
            return Err(Error::Weight { vm: vm.clone(), weight });
        }
        self.weights.insert(vm.clone(), weight);
        Ok(())
    }

    /// The VMs, in the order of their names.
    #[must_use]
    pub fn recordings(&self) -> &[Recording] {
        &self.recordings
    }

    /// Operations of all VMs.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.recordings.iter().map(Recording::operations).fold(0, u64::saturating_add)
    }

    /// VMs of the decision log that have no trace. What they held counts as the host's.
    pub fn left_out(&self) -> impl Iterator<Item = &VmName> {
        let log = match &self.host {
            Host::Constant { .. } => None,
            Host::Logged(log) => Some(log),
        };
        let has_trace = |vm: &VmName| self.recordings.iter().any(|recording| recording.vm() == vm);
        log.into_iter().flat_map(DecisionLog::vms).filter(move |vm| !has_trace(vm))
    }

    /// What a VM's weight was set to.
    pub(crate) fn weight(&self, vm: &VmName) -> Option<u32> {
        self.weights.get(vm).copied()
    }

    pub(crate) fn interval_ms(&self) -> u64 {
        self.policy.interval.as_ms().max(1)
    }

    pub(crate) fn logged(&self, recording: &Recording) -> Option<&Logged> {
        match &self.host {
            Host::Constant { .. } => None,
            Host::Logged(log) => log.vm(recording.vm()),
        }
    }

    /// When a VM came, in microseconds since the first did: when it first stands in the log.
    pub(crate) fn start_us(&self, recording: &Recording) -> u64 {
        let first_ms = self.logged(recording).map_or(0, Logged::first_ms);
        first_ms.saturating_sub(self.origin_ms).saturating_mul(1000)
    }

    fn is_too_long(&self, recording: &Recording) -> bool {
        let end_us = self.start_us(recording).saturating_add(recording.length_us());
        end_us / 1000 / self.interval_ms() >= INTERVALS_MAX
    }
}

/// When the first of the VMs stands in the log.
fn first_ms(log: &DecisionLog, traces: &[(VmName, PathBuf)]) -> Result<u64, Error> {
    let mut earliest = u64::MAX;
    for (vm, _) in traces {
        let Some(logged) = log.vm(vm) else {
            let known: Vec<&str> = log.vms().map(VmName::as_str).take(VMS_MAX).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::NotInLog { vm: vm.clone(), known });
        };
        earliest = earliest.min(logged.first_ms());
    }
    Ok(earliest)
}

pub(crate) fn too_long(recording: &Recording) -> Error {
    Error::TooLong { vm: recording.vm().clone(), path: recording.path().to_owned() }
}

/// The policy as it is to be played.
fn acted_on(mut policy: Policy, host: &Host) -> Policy {
    policy.mode = Mode::Enforce;
    if let Host::Constant { pool_bytes } = *host {
        policy.pool.size_min = SizeOrPercent::Bytes(pool_bytes);
        policy.pool.size_max = SizeOrPercent::Bytes(pool_bytes);
        policy.host.reserve = SizeOrPercent::Bytes(0);
    }
    policy
}
