//! All VMs played together once, under one algorithm.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use host::{Engine, InForce, Origin, SETTLE_MS};
use observe::Cgroup;
use policy::law::observation::{HostObservation, Identity};
use policy::schema::Algorithm;
use protocol::service::{Counts, Registration};

use crate::error::Error;
use crate::limits::{INTERVALS_MAX, VMS_MAX};
use crate::log::Sighting;
use crate::plan::{Host, Plan, too_long};
use crate::recording::Recording;
use crate::vm::{Vm, VmOutcome};

/// Memory of a host that is never short: 1 PiB, which is less than the most that the laws calculate with.
const PLENTY_BYTES: u64 = 1 << 50;

/// The user of a VM of which nothing is known: (uid_t) -1, which no process has.
const NOBODY: u32 = u32::MAX;

/// Progress is told once in this many operations.
const PROGRESS_OPERATIONS: u64 = 4096;

/// How far a VM is.
enum Stage<'a> {
    /// Its trace has not begun.
    Waiting,
    /// It is played.
    Running(Box<Vm<'a>>),
    /// Its trace has ended, and its store with it.
    Ended(Box<VmOutcome>),
}

impl Plan {
    /// Plays all of it under one of the algorithms. `progress` is told now and then how many more operations were played.
    ///
    /// # Errors
    /// [`Error`], where a trace changed meanwhile or there is no memory for a store.
    pub fn play(&self, algorithm: Algorithm, progress: &mut dyn FnMut(u64)) -> Result<Vec<VmOutcome>, Error> {
        Run::new(self, algorithm).play_on(progress)
    }
}

/// All VMs, while they are played.
struct Run<'a> {
    plan: &'a Plan,
    engine: Engine,
    /// In the order of the plan's recordings.
    stages: Vec<Stage<'a>>,
    /// The running VMs by when their next operation is due; of those due together the first by name comes first.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    untold: u64,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, algorithm: Algorithm) -> Self {
        let mut policy = plan.policy.clone();
        policy.share.algorithm = algorithm;
        let stages = plan.recordings().iter().map(|_| Stage::Waiting).collect();
        Self { plan, engine: Engine::new(InForce::from(policy), 0), stages, due: BinaryHeap::new(), untold: 0 }
    }

    /// Plays interval after interval until the last trace has ended.
    fn play_on(mut self, progress: &mut dyn FnMut(u64)) -> Result<Vec<VmOutcome>, Error> {
        let interval_us = self.plan.interval_ms().saturating_mul(1000);
        for interval in 0..=INTERVALS_MAX {
            let at_us = interval.saturating_mul(interval_us);
            let until_us = at_us.saturating_add(interval_us);
            self.let_in(at_us, until_us)?;
            self.decide(at_us / 1000);
            self.play(until_us, progress)?;
            if self.stages.iter().all(|stage| matches!(stage, Stage::Ended(_))) {
                progress(self.untold);
                return Ok(self.outcomes());
            }
        }
        // One was shorter when it was read before.
        let unended = |(stage, _): &(&Stage<'_>, _)| !matches!(stage, Stage::Ended(_));
        let recording = self.stages.iter().zip(self.plan.recordings()).find(unended);
        recording.map_or_else(|| Ok(self.outcomes()), |(_, recording)| Err(too_long(recording)))
    }

    fn outcomes(&self) -> Vec<VmOutcome> {
        let outcome = |stage: &Stage<'_>| match stage {
            Stage::Waiting => None,
            Stage::Running(vm) => Some(vm.outcome()),
            Stage::Ended(outcome) => Some((**outcome).clone()),
        };
        self.stages.iter().filter_map(outcome).collect()
    }

    /// Lets in whose trace begins in this interval, so that the decision at its begin is about them too: a VM stands in
    /// the log first when it got its first lease.
    fn let_in(&mut self, at_us: u64, until_us: u64) -> Result<(), Error> {
        for (index, recording) in self.plan.recordings().iter().enumerate() {
            let start_us = self.plan.start_us(recording);
            if !matches!(self.stages[index], Stage::Waiting) || start_us >= until_us {
                continue;
            }
            let registration = self.registration(recording);
            let refused =
                |refusal: protocol::Refusal| Error::Refused { vm: recording.vm().clone(), message: refusal.message };
            let host = self.host(at_us / 1000);
            let origin = self.origin(index, recording);
            let admitted = self.engine.register(origin, registration, host, |_| None).map_err(refused)?;
            let vm = Vm::start(recording, start_us, admitted.store)?;
            self.stages[index] = Stage::Running(Box::new(vm));
            self.wait_or_end(index);
        }
        Ok(())
    }

    /// As one that runs already: it was let in when it was recorded, and is so now.
    fn registration(&self, recording: &Recording) -> Registration {
        let logged = self.plan.logged(recording);
        let limit_bytes = recording.header().limit_bytes;
        Registration {
            name: recording.vm().clone(),
            label: logged.and_then(|logged| logged.identity.label.clone()),
            // A limit is the guest's memory where nobody wrote one.
            memory_bytes: logged.map_or(limit_bytes.min(PLENTY_BYTES), |logged| logged.memory_bytes),
            runs: true,
            lease_bytes: 0,
            counts: Counts { limit_bytes, ..Counts::default() },
        }
    }

    /// Its place among the recordings stands for its process.
    fn origin(&self, index: usize, recording: &Recording) -> Origin {
        let unknown = Identity { uid: NOBODY, ..Identity::default() };
        let Identity { uid, cgroup, .. } = self.plan.logged(recording).map_or(&unknown, |logged| &logged.identity);
        Origin {
            uid: *uid,
            pid: i32::try_from(index).unwrap_or(i32::MAX),
            cgroup: cgroup.as_deref().and_then(Cgroup::at),
        }
    }

    /// Makes the decision of an interval and acts on it.
    fn decide(&mut self, at_ms: u64) {
        let now_ms = SETTLE_MS.saturating_add(at_ms);
        for (stage, recording) in self.stages.iter().zip(self.plan.recordings()) {
            let Stage::Running(vm) = stage else { continue };
            let sighting = self.sighting(recording, at_ms);
            self.engine.count(recording.vm(), vm.report(sighting.map(|sighting| sighting.limit_bytes)), now_ms);
            let weight = self.plan.weight(recording.vm()).or_else(|| sighting.and_then(|sighting| sighting.weight));
            // It refuses what is no weight, and that is neither in a log nor in a plan.
            let _ = self.engine.set_weight(recording.vm(), weight);
        }
        let stages = &self.stages;
        let resident = |pid: i32| match stages.get(usize::try_from(pid).ok()?) {
            Some(Stage::Running(vm)) => Some(vm.used_bytes()),
            _ => None,
        };
        // The limits of control groups are in the log's limits of the VMs.
        self.engine.look_at_processes(VMS_MAX, resident, |_| None);
        let host = self.host(at_ms);
        for (name, lease) in self.engine.decide(host) {
            let index = self.plan.recordings().binary_search_by(|recording| recording.vm().cmp(&name));
            if let Some(Stage::Running(vm)) = index.ok().and_then(|index| self.stages.get(index)) {
                vm.keep_to(lease);
            }
        }
        // Both are in the order of names.
        let running = self.stages.iter_mut().filter_map(|stage| match stage {
            Stage::Running(vm) => Some(vm),
            Stage::Waiting | Stage::Ended(_) => None,
        });
        for (vm, status) in running.zip(self.engine.statuses(now_ms)) {
            vm.note(status.lease_bytes, status.entitlement_bytes);
        }
    }

    /// The VM as it was recorded then.
    fn sighting(&self, recording: &Recording, at_ms: u64) -> Option<Sighting> {
        self.plan.logged(recording)?.at(self.plan.origin_ms.saturating_add(at_ms))
    }

    /// The host as it was recorded then, but for what the stores held there and hold here.
    fn host(&self, at_ms: u64) -> HostObservation {
        let now_ms = SETTLE_MS.saturating_add(at_ms);
        let plenty = HostObservation { now_ms, total_bytes: PLENTY_BYTES, available_bytes: PLENTY_BYTES, psi: None };
        let logged = match &self.plan.host {
            Host::Constant { .. } => None,
            Host::Logged(log) => log.host_at(self.plan.origin_ms.saturating_add(at_ms)),
        };
        let Some(host) = logged else { return plenty };
        let (mut held_there, mut held_here) = (0_u64, 0_u64);
        for (stage, recording) in self.stages.iter().zip(self.plan.recordings()) {
            if let Stage::Running(vm) = stage {
                let there = self.sighting(recording, at_ms).map_or(0, |sighting| sighting.used_bytes);
                held_there = held_there.saturating_add(there);
                held_here = held_here.saturating_add(vm.used_bytes());
            }
        }
        let available_bytes = host.available_bytes.saturating_add(held_there).saturating_sub(held_here);
        HostObservation { now_ms, available_bytes: available_bytes.min(host.total_bytes), ..host }
    }

    /// Plays what is due before this time, in the order of time.
    fn play(&mut self, until_us: u64, progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
        while let Some(Reverse((_, index))) = self.due.peek().copied().filter(|Reverse((at_us, _))| *at_us < until_us) {
            self.due.pop();
            if let Some(Stage::Running(vm)) = self.stages.get_mut(index) {
                vm.play()?;
            }
            self.wait_or_end(index);
            self.untold += 1;
            if self.untold == PROGRESS_OPERATIONS {
                progress(std::mem::take(&mut self.untold));
            }
        }
        Ok(())
    }

    /// Waits for a VM's next operation, or ends it behind its last.
    fn wait_or_end(&mut self, index: usize) {
        let Some(Stage::Running(vm)) = self.stages.get(index) else { return };
        match vm.due_us() {
            Some(due_us) => self.due.push(Reverse((due_us, index))),
            None => {
                let outcome = vm.outcome();
                // It is not to come back.
                self.engine.leave(&outcome.vm, 0);
                self.stages[index] = Stage::Ended(Box::new(outcome));
            }
        }
    }
}
