//! The devices a guest sees, and the buses they sit on.
//!
//! ```text
//! vCPU exit ──► bus ──► serial · power · pvpanic        (I/O ports)
//!                  └──► virtio::MmioTransport           (one MMIO page a device)
//!                            │ activate, reset
//!                            ▼
//!                        virtio::{block, net, rng}  ── each with a worker thread of its own
//! ```
//!
//! Two rules hold for everything in this folder:
//!
//! * **A vCPU is never held up by the host.** Registers are answered from memory; whatever may sleep (a disk, a
//!   terminal) belongs to a worker thread. The one exception is a virtio reset, which waits for the request in flight,
//!   because the guest may reuse its buffers the moment the reset is complete.
//! * **Everything a guest says is hostile.** A wrong access is ignored and counted ([`Mistakes`](crate::mistakes::Mistakes)); nothing
//!   panics, and the log cannot be flooded.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub mod bus;
pub mod event_latch;
pub mod power;
pub mod pvpanic;
pub mod serial;
pub mod virtio;

pub use bus::{Bus, BusDevice, RangeError};

/// Locks a device's state. A thread that panicked while it held the lock is a bug of ours that has been reported
/// already; the registers it leaves behind are no worse than what a guest could have written into them.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
