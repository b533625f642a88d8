//! The hypercall path.
//!
//! ```text
//! vCPU exit ─► transport: is it a call? registers in, registers out      (knows KVM's register file)
//!                 └─► dispatch: which call, are its arguments sane?      (no KVM type)
//!                        └─► trace::RecordedClient ─► tmem::Client: put, get, flush
//! ```
//! On the way of a put or a get, nothing between the exit and the store takes a lock, allocates, or enters the host's
//! kernel.

mod batch;
mod counters;
mod dispatch;
mod registers;
mod report;
mod transport;

pub use counters::Counters;
pub use dispatch::Hypercalls;
pub use registers::{Registers, Reply};
pub use transport::{PortWrite, call};
