//! The thread that makes cold pages smaller, a little at a time.
//!
//! It takes at most a tenth of a CPU.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tmem::Client;

use super::Over;

/// Passes after which a page that was not loaded is cold; see [`Client::recompress`].
const PASSES: u32 = 3;
/// How long it works at a stretch.
const WORK: Duration = Duration::from_millis(1);
/// How long it rests after that, as a multiple of what the work took.
const REST: u32 = 10;

/// Runs until it is over; a page that was not loaded for `after` or up to a third longer is cold.
pub(super) fn run(client: &Arc<Client>, after: Duration, over: &Over) {
    let interval = after / PASSES;
    while !over.is_so() {
        // Woken by the end; woken for nothing, a page gets cold a little sooner.
        thread::park_timeout(interval);
        let mut began = Instant::now();
        client.recompress(|| {
            let worked = began.elapsed();
            if worked >= WORK && !over.is_so() {
                thread::park_timeout(worked * REST);
                began = Instant::now();
            }
            !over.is_so()
        });
    }
}
