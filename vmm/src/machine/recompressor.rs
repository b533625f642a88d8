//! The thread that makes cold pages smaller, a little at a time.
//!
//! It takes at most a tenth of a CPU. It is not of the lowest priority: it holds locks of the store for a moment now and
//! then, and a vCPU that waits for one must not wait until nobody else wants the CPU.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tmem::Client;

/// Passes after which a page that was not loaded is cold; see [`Client::recompress`].
const PASSES: u32 = 3;
/// How long it works at a stretch.
const WORK: Duration = Duration::from_millis(1);
/// How long it rests after that, as a multiple of what the work took.
const REST: u32 = 10;

/// A running thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Recompressor {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recompressor {
    /// Starts the thread for `client`; a page that was not loaded for `after` or up to a third longer is cold.
    pub(super) fn start(client: Arc<Client>, after: Duration) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let is_over = move || ended.load(Ordering::Relaxed);
        let interval = after / PASSES;
        let thread = thread::Builder::new().name("recompress".into()).spawn(move || {
            give_way();
            while !is_over() {
                // Woken by the drop; woken for nothing, a page gets cold a little sooner.
                thread::park_timeout(interval);
                let mut began = Instant::now();
                client.recompress(|| {
                    let worked = began.elapsed();
                    if worked >= WORK && !is_over() {
                        thread::park_timeout(worked * REST);
                        began = Instant::now();
                    }
                    !is_over()
                });
            }
        })?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Recompressor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
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
        tracing::debug!(error = %io::Error::last_os_error(), "the recompressor is scheduled like any other thread");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Pages, allocate};
    use std::time::Instant;
    use tmem::{ClientConfig, Key, ObjectId, PoolKind, Status};
    use vm_memory::{Bytes, GuestAddress};

    #[test]
    fn cold_pages_get_smaller_by_themselves_and_the_thread_ends_with_its_owner() {
        let ram = allocate(1 << 20).unwrap();
        let client = Arc::new(Client::new(ClientConfig::new(1 << 30, [0; 2])).unwrap());
        let pool = client.pool_new(PoolKind::Persistent).unwrap();
        let text: Vec<u8> = (0..4096_u32).flat_map(|n| (n % 97 * n).to_string().into_bytes()).take(4096).collect();
        ram.write_slice(&text, GuestAddress(0)).unwrap();
        assert_eq!(client.put(Key { pool, object: ObjectId([0; 3]), index: 0 }, 0, &Pages(&ram)), Status::Ok);

        let recompressor = Recompressor::start(Arc::clone(&client), Duration::from_millis(30)).unwrap();
        let started = Instant::now();
        while client.statistics().zstd_pages == 0 && started.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(client.statistics().zstd_pages, 1);
        drop(recompressor);
        assert_eq!(Arc::strong_count(&client), 1);
    }
}
