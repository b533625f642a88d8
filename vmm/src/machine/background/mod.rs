//! The store's background work: one thread for each kind of it.
//!
//! The threads are not of the lowest priority: they hold locks of the store for a moment now and then, and a vCPU that
//! waits for one must not wait until nobody else wants the CPU.

mod compress;
mod recompress;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tmem::Client;

/// A running thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Background {
    over: Over,
    thread: Option<JoinHandle<()>>,
}

/// Whether a thread is to end.
#[derive(Clone, Debug, Default)]
struct Over(Arc<AtomicBool>);

impl Over {
    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Background {
    /// Starts the thread that compresses staged pages.
    pub(super) fn compress(client: &Arc<Client>) -> io::Result<Self> {
        Self::start("compress", client, compress::run)
    }

    /// Starts the thread that compresses cold pages once more: those that were not loaded for `after` or up to a third
    /// longer.
    pub(super) fn recompress(client: &Arc<Client>, after: Duration) -> io::Result<Self> {
        Self::start("recompress", client, move |client, over| recompress::run(client, after, over))
    }

    fn start(
        name: &str,
        client: &Arc<Client>,
        run: impl FnOnce(&Arc<Client>, &Over) + Send + 'static,
    ) -> io::Result<Self> {
        let over = Over::default();
        let (client, ended) = (Arc::clone(client), over.clone());
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            give_way();
            run(&client, &ended);
        })?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.over.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panics only where the store does.
            let _ = thread.join();
        }
    }
}

/// Tells the scheduler that the calling thread is in no hurry: it does not preempt a vCPU when it wakes.
fn give_way() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads the structure, which lives, and concerns this thread alone.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) };
    if result != 0 {
        // It may be forbidden by a sandbox around us, and is a courtesy only.
        tracing::debug!(error = %io::Error::last_os_error(), "background work is scheduled like any other thread");
    }
}
