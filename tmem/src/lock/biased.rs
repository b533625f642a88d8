//! A lock for many readers or one writer that can be biased towards its readers.
//!
//! A reader of a plain lock counts itself in and out, and so takes the lock's cache line from every other reader twice. A
//! biased one has each thread say in a slot of its own what it reads. A writer takes the plain lock, lifts the bias and waits
//! until no slot names the lock; meanwhile readers take the plain lock too. The idea is BRAVO's (Dice and Kogan, *BRAVO:
//! Biased Locking for Reader-Writer Locks*, USENIX ATC 2019); here the bias is asked for, by who knows that readers are many
//! and writers few, and comes back with the end of each write. A lock of many padded ones, as crossbeam's `ShardedLock`, would
//! take 1 KiB in each object of the index; the bias takes none.
//!
//! ```text
//!  reader  slot = lock │ biased? ─ yes ─► reads │ slot = none       writer  plain lock │ biased = no
//!                      └──────── no ─► slot = none │ plain lock             until no slot = lock
//!                                                                           writes │ biased = yes
//! ```
//!
//! Of a reader and a writer that come at once one sees the other: each writes what the other reads before it reads what the
//! other writes, and these four are sequentially consistent.

#[cfg(all(test, loom))]
mod ownership;
#[cfg(all(test, not(loom)))]
mod tests;

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::PoisonError;

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};
#[cfg(loom)]
use loom::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
#[cfg(not(loom))]
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A lock for many readers or one writer, without a bias until one is asked for.
pub(crate) struct BiasedLock<T> {
    plain: RwLock<()>,
    biased: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives out `&T` to several threads at once, or `&mut T` to one.
unsafe impl<T: Send + Sync> Sync for BiasedLock<T> {}

/// The address of the lock that a thread reads under its bias; on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot(AtomicPtr<()>);

/// The slots of the threads that have a number of their own. Loom's atomics cannot be static: its test has slots of its own.
#[cfg(not(loom))]
static SLOTS: [Slot; crate::caller::SHARED] = [const { Slot(AtomicPtr::new(ptr::null_mut())) }; crate::caller::SHARED];
#[cfg(loom)]
static SLOTS: [Slot; 0] = [];

/// What is read.
pub(crate) struct Read<'a, T> {
    lock: &'a BiasedLock<T>,
    held: Held<'a>,
}

/// What keeps writers out.
enum Held<'a> {
    Plain { _guard: RwLockReadGuard<'a, ()> },
    Slot(&'a Slot),
}

/// What is written.
pub(crate) struct Write<'a, T> {
    lock: &'a BiasedLock<T>,
    was_biased: bool,
    _guard: RwLockWriteGuard<'a, ()>,
}

impl<T> BiasedLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { plain: RwLock::new(()), biased: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Not twice at once in a thread: between the two a writer may wait for the first, and the second for that.
    pub(crate) fn read(&self) -> Read<'_, T> {
        self.read_in(SLOTS.get(crate::caller::number()))
    }

    pub(crate) fn write(&self) -> Write<'_, T> {
        self.write_beside(&SLOTS)
    }

    /// Reads for the thread of this slot.
    fn read_in<'a>(&'a self, slot: Option<&'a Slot>) -> Read<'a, T> {
        let under_bias = || slot.filter(|slot| self.biased.load(Ordering::Relaxed) && slot.name(self.address()));
        if let Some(slot) = under_bias() {
            if self.biased.load(Ordering::SeqCst) {
                return Read { lock: self, held: Held::Slot(slot) };
            }
            slot.clear();
        }
        let guard = self.plain.read().unwrap_or_else(PoisonError::into_inner);
        Read { lock: self, held: Held::Plain { _guard: guard } }
    }

    /// Writes, where the readers under a bias are in these slots.
    fn write_beside(&self, slots: &[Slot]) -> Write<'_, T> {
        let guard = self.plain.write().unwrap_or_else(PoisonError::into_inner);
        let was_biased = self.biased.load(Ordering::Relaxed);
        if was_biased {
            self.biased.store(false, Ordering::SeqCst);
            order_for_loom();
            slots.iter().for_each(|slot| slot.wait_while(self.address()));
        }
        Write { lock: self, was_biased, _guard: guard }
    }

    fn address(&self) -> *mut () {
        ptr::from_ref(self).cast_mut().cast()
    }
}

impl<T> Read<'_, T> {
    /// Biases the lock towards its readers, for good: reading it costs threads nothing that others notice, and writing it a
    /// look at the slots of all.
    pub(crate) fn favour_readers(&self) {
        // Under the plain lock no writer is between its look at the bias and its end. Beside a slot one may be; but then
        // there is a bias, or its writer brings it back.
        if let Held::Plain { .. } = self.held {
            self.lock.biased.store(true, Ordering::SeqCst);
        }
    }
}

impl Slot {
    /// Names what its thread is about to read. Returns `false` where the thread reads under another bias already.
    fn name(&self, lock: *mut ()) -> bool {
        let reads = self.0.load(Ordering::Relaxed);
        debug_assert_ne!(reads, lock, "a lock is read once at a time");
        let free = reads.is_null();
        if free {
            self.0.store(lock, Ordering::SeqCst);
            order_for_loom();
        }
        free
    }

    fn clear(&self) {
        self.0.store(ptr::null_mut(), Ordering::Release);
    }

    /// Waits until its thread does not read this lock. That is soon, unless the thread has lost its CPU.
    fn wait_while(&self, lock: *mut ()) {
        let mut looks = 0;
        while self.0.load(Ordering::SeqCst) == lock {
            looks += 1;
            pause(looks);
        }
    }
}

/// Passes the time after so many looks.
#[cfg(not(loom))]
fn pause(looks: u32) {
    match looks {
        0..100 => std::hint::spin_loop(),
        100..200 => std::thread::yield_now(),
        // Who is waited for may have to have this very CPU, and a lower priority.
        _ => std::thread::sleep(std::time::Duration::from_micros(50)),
    }
}

#[cfg(loom)]
fn pause(_: u32) {
    loom::thread::yield_now();
}

/// Loom takes sequentially consistent loads and stores for weaker ones, but not fences.
fn order_for_loom() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Self::Slot(slot) = self {
            slot.clear();
        }
    }
}

impl<T> Deref for Read<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: no writer has the value: it would have the plain lock, or waits for the slot.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> Deref for Write<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: nobody else has the value: readers are out of the slots, and wait for the plain lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Write<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and this guard is borrowed for as long.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Write<'_, T> {
    fn drop(&mut self) {
        if self.was_biased {
            // Who reads under it sees what was written.
            self.lock.biased.store(true, Ordering::SeqCst);
        }
    }
}

impl<T> fmt::Debug for BiasedLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BiasedLock").field("biased", &self.biased).finish_non_exhaustive()
    }
}
