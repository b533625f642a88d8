//! The thread that makes cold pages smaller, a little at a time.
//!
//! It takes at most a tenth of a CPU. Where every page is as small as it gets it sleeps until the guest calls again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tmem::Client;

use super::Over;

/// Passes after which a page that was not loaded is cold; see [`Client::recompress`].
const PASSES: u32 = 3;
/// How long it works at a stretch.
const WORK: Duration = Duration::from_millis(1);
/// How long it rests after that, as a multiple of what the work took.
const REST: u32 = 10;

/// Whether the guest called since it was last asked for.
struct Called {
    is_so: AtomicBool,
    sleeper: Thread,
}

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.is_so.store(true, Ordering::Relaxed);
        self.sleeper.unpark();
    }
}

/// Runs until it is over; a page that was not loaded for `after` or up to a third longer is cold.
pub(super) fn run(client: &Arc<Client>, after: Duration, over: &Over) {
    let called = Arc::new(Called { is_so: AtomicBool::new(false), sleeper: thread::current() });
    let waker = Waker::from(Arc::clone(&called));
    while !over.is_so() {
        sleep(after / PASSES, over);
        // What is done behind this wakes, what was done before it the pass sees.
        called.is_so.store(false, Ordering::Relaxed);
        client.wake_at_next_call(&waker);
        let mut began = Instant::now();
        let pass = client.recompress(|| {
            let worked = began.elapsed();
            if worked >= WORK && !over.is_so() {
                thread::park_timeout(worked * REST);
                began = Instant::now();
            }
            !over.is_so()
        });
        while pass.is_done && !called.is_so.load(Ordering::Relaxed) && !over.is_so() {
            thread::park();
        }
    }
}

/// Sleeps so long, whoever wakes it, but for the end.
fn sleep(time: Duration, over: &Over) {
    let until = Instant::now() + time;
    while let left = until.saturating_duration_since(Instant::now())
        && !left.is_zero()
        && !over.is_so()
    {
        thread::park_timeout(left);
    }
}
