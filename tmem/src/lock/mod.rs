//! The standard locks without their poison, and one for many readers that do not meet.
//!
//! Nothing in this crate panics while it holds one, and a caller's panic (a broken [`GuestPages`](crate::GuestPages))
//! happens outside of all of them; so the flag would never tell anything. Uncontended, they make no system call.
//!
//! Under `--cfg loom` they are loom's, which tries all orders in which threads may take them (`biased/ownership.rs`,
//! `index/ownership.rs`).

mod biased;

use std::sync::PoisonError;

#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

pub(crate) use biased::BiasedLock;

/// A mutex.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

/// What is locked.
pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
