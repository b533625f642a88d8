//! The thread that compresses staged pages.
//!
//! A page lingers for a moment first: one that comes straight back, or is freed, is never compressed. Only where the buffer
//! fills faster is it emptied at once. While nothing is put the thread sleeps, and costs nothing.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tmem::Client;

use super::Over;

/// How long a page lingers, at least; at most twice that.
const LINGER: Duration = Duration::from_millis(10);
/// How often it looks how full the buffer is: half of it takes longer to fill.
const LOOK: Duration = Duration::from_millis(1);
/// Time without a page after which the buffer's memory goes back, and the thread sleeps until the next put.
const IDLE: Duration = Duration::from_secs(1);

/// Runs until it is over.
pub(super) fn run(client: &Arc<Client>, over: &Over) {
    let mut mark = client.staging_mark();
    let mut marked = Instant::now();
    let mut busy = Instant::now();
    while !over.is_so() {
        let (staged, most) = client.staging_fill();
        if staged > most / 2 {
            let enough = || over.is_so() || client.staging_fill().0 <= most / 4;
            if client.compress_staged(client.staging_mark(), || !enough()) > 0 {
                continue;
            }
        }
        if marked.elapsed() >= LINGER {
            client.compress_staged(mark, || !over.is_so());
            mark = client.staging_mark();
            marked = Instant::now();
        }
        if staged > 0 {
            busy = Instant::now();
            thread::park_timeout(LOOK);
        } else if busy.elapsed() < IDLE {
            thread::park_timeout(LINGER);
        } else {
            while client.reclaim(u64::MAX) > 0 {}
            trim_heap();
            client.wait_for_staged();
            busy = Instant::now();
        }
    }
}

/// Gives the heap's free memory back: what an index took that is smaller now. The allocator keeps it else.
fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call concerns free memory alone, and is safe in any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
