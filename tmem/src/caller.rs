//! A small number for the calling thread, for what each of the first threads has of its own.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number that all threads share for which none was left. The others, 0 to below it, have one thread each at a time.
pub(crate) const SHARED: usize = 31;

thread_local! {
    static CLAIM: Claim = Claim::new();
    /// The number of the thread's claim, `UNCLAIMED` before that. It has no destructor, so to look at it takes one load.
    static NUMBER: Cell<usize> = const { Cell::new(UNCLAIMED) };
}

const UNCLAIMED: usize = SHARED + 1;

/// The number of the calling thread: its own while it lives and there is one left, the lowest; else [`SHARED`].
#[inline]
pub(crate) fn number() -> usize {
    let number = NUMBER.get();
    if number == UNCLAIMED { claim() } else { number }
}

#[cold]
fn claim() -> usize {
    let number = CLAIM.with(|claim| claim.0);
    NUMBER.set(number);
    number
}

/// Which numbers have a thread, a bit each; the shared one has none.
static CLAIMED: AtomicU32 = AtomicU32::new(1 << SHARED);

/// A thread's right to a number, for as long as it lives.
struct Claim(usize);

impl Claim {
    fn new() -> Self {
        let mut claimed = CLAIMED.load(Ordering::Relaxed);
        loop {
            let free = claimed.trailing_ones();
            if free as usize >= SHARED {
                return Self(SHARED);
            }
            // Acquires what the thread before did as its owner.
            match CLAIMED.compare_exchange_weak(claimed, claimed | 1 << free, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Self(free as usize),
                Err(now) => claimed = now,
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Whatever the thread still does while it ends.
        NUMBER.set(SHARED);
        if self.0 != SHARED {
            CLAIMED.fetch_and(!(1 << self.0), Ordering::Release);
        }
    }
}
