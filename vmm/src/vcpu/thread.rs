//! The thread that runs a vCPU.

use super::kick::{self, Kickable};
use super::{Step, Stop, Vcpu, VcpuError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::Killable;

/// How a vCPU thread ended by itself; `None` while it runs, or when it was told to stop.
type Outcome = Option<Result<Stop, VcpuError>>;

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    outcome: Mutex<Outcome>,
}

/// A running vCPU. Dropping it stops the vCPU, with its last access completed, and joins the thread.
#[derive(Debug)]
pub struct VcpuThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl VcpuThread {
    /// Starts the thread. `ended` is written to when the vCPU ends by itself.
    ///
    /// # Errors
    /// Where the host starts no thread, or takes no signal handler.
    pub fn start(mut vcpu: Vcpu, ended: EventFd) -> std::io::Result<Self> {
        kick::prepare()?;
        let shared = Arc::new(Shared::default());
        let mine = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("vcpu{}", vcpu.id())).spawn(move || {
            let id = vcpu.id();
            // A bug of ours on this thread must not leave a VM behind that hangs without a word.
            let ended_by = catch_unwind(AssertUnwindSafe(|| run(&mut vcpu, &mine.stop)));
            if let Some(outcome) = ended_by.unwrap_or(Some(Err(VcpuError::Panicked { id }))) {
                *mine.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                // The event loop that reads this is gone only when the whole machine is being dropped.
                let _ = ended.write(1);
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// How the vCPU ended by itself, once.
    pub fn take_outcome(&self) -> Option<Result<Stop, VcpuError>> {
        self.shared.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for VcpuThread {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        if let Err(error) = thread.kill(kick::signal()) {
            tracing::debug!(%error, "a vCPU thread that has ended needs no kick");
        }
        if thread.join().is_err() {
            tracing::error!("a vCPU thread panicked");
        }
    }
}

fn run(vcpu: &mut Vcpu, stop: &AtomicBool) -> Outcome {
    let mut kickable = Kickable::new(vcpu);
    loop {
        // A kick between the look and the entry makes KVM_RUN return at once.
        if stop.load(Ordering::Acquire) {
            if let Err(error) = kickable.vcpu.complete_pending() {
                tracing::warn!(%error, "while stopping");
            }
            return None;
        }
        match kickable.vcpu.step() {
            Ok(Step::Hypercall | Step::Handled) => {}
            Ok(Step::Interrupted) => kickable.rearm(),
            Ok(Step::Stop(reason)) => return Some(Ok(reason)),
            Err(error) => return Some(Err(error)),
        }
    }
}
