//! Whoever sleeps until the guest calls again.
//!
//! A call costs one look at a flag for it, and where somebody sleeps one of them wakes all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use crate::lock::Lock;

/// Those that sleep, until the next call.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    any: AtomicBool,
    wakers: Lock<Vec<Waker>>,
}

impl Sleepers {
    /// Wakes this one with the others. One that sleeps already does so once.
    pub(crate) fn add(&self, waker: &Waker) {
        let mut wakers = self.wakers.lock();
        if !wakers.iter().any(|other| other.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        self.any.store(true, Ordering::Relaxed);
    }

    /// A call was made: wakes everybody, once.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.any.load(Ordering::Relaxed) {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        let woken = {
            let mut wakers = self.wakers.lock();
            self.any.store(false, Ordering::Relaxed);
            std::mem::take(&mut *wakers)
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_sleeper_is_woken_once_by_the_next_call_and_not_by_the_one_after() {
        let sleepers = Sleepers::default();
        let woken: [Arc<Woken>; 2] = Default::default();
        sleepers.wake();
        for woken in &woken {
            let waker = Waker::from(Arc::clone(woken));
            sleepers.add(&waker);
            sleepers.add(&waker);
        }
        sleepers.wake();
        sleepers.wake();
        assert_eq!(woken.map(|woken| woken.0.load(Ordering::Relaxed)), [1, 1]);
    }
}
