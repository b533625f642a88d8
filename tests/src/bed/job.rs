//! Divides cases into jobs, and runs them as many at a time as the bed carries.

use super::{Bed, Images, Outcome, direct, emulated, plain};
use crate::case::{Case, Under};
use anyhow::Result;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Most cases of one job: enough that the start of an emulated host is a small part, few enough that two CPUs end at
/// about the same time.
const CASES_PER_JOB: usize = 4;

/// Some cases on one kernel, one after the other.
#[derive(Clone)]
pub struct Job {
    /// The kernel.
    pub kernel: String,
    /// The cases.
    pub cases: Vec<&'static Case>,
    /// What they run on.
    pub under: Under,
}

/// Divides the chosen pairs of kernel and case into jobs.
#[must_use]
pub fn jobs(chosen: &[(String, &'static Case)]) -> VecDeque<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for (kernel, case) in chosen {
        let under = case.runs.under;
        let most = if matches!(under, Under::Debian(_)) { 1 } else { CASES_PER_JOB };
        let fits = |job: &&mut Job| job.kernel == *kernel && job.under == under && job.cases.len() < most;
        match jobs.iter_mut().find(fits) {
            Some(job) => job.cases.push(case),
            None => jobs.push(Job { kernel: kernel.clone(), cases: vec![case], under }),
        }
    }
    jobs.into()
}

/// Runs all jobs. `report` hears of each outcome as it comes, and of each case that never reported.
///
/// # Errors
/// Where an image cannot be made.
pub fn run(bed: Bed, images: &Images, jobs: VecDeque<Job>, report: impl Fn(Outcome) + Sync) -> Result<()> {
    let queue = Mutex::new(jobs);
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..bed.parallel_jobs()).map(|_| scope.spawn(|| work(bed, images, &queue, &report))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("a worker panicked")))
    })
}

fn work(bed: Bed, images: &Images, queue: &Mutex<VecDeque<Job>>, report: &(impl Fn(Outcome) + Sync)) -> Result<()> {
    loop {
        let Some(job) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return Ok(()) };
        let mut waiting: VecDeque<_> = job.cases.iter().map(|case| case.name).collect();
        let mut heard = |outcome: Outcome| {
            waiting.retain(|name| *name != outcome.case);
            report(outcome);
        };
        let ended = match (job.under, bed) {
            (Under::PlainEmulation, _) => plain::run(images, &job, &mut heard),
            (Under::Kvm | Under::Debian(_), Bed::Direct) => direct::run(images, &job, &mut heard),
            (Under::Kvm | Under::Debian(_), Bed::Emulated) => emulated::run(images, &job, &mut heard),
        };
        let why = match ended {
            Ok(tail) => format!("its machine ended before it reported\n{tail}"),
            Err(error) => format!("{error:#}"),
        };
        for name in waiting {
            report(Outcome::lost(name, &job.kernel, why.clone()));
        }
    }
}
