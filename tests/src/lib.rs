//! What the end-to-end cases stand on.
//!
//! * [`payload`]: a few bytes of 64-bit code in a VM without devices, which make hypercalls on any `/dev/kvm`.
//! * [`cases`]: real guests. One file a case, with what the host does and what the guest does side by side. The host
//!   half stands on [`host`], the guest half on [`guest`]; [`bed`] finds a machine to run them on.
//!
//! ```text
//! run-cases (this machine) ── bed::direct ────────────────► tmem-cases host ──► tmem run ──► guest: tmem-cases guest
//!                          └─ bed::emulated: QEMU, SVM ───► the same, inside
//! ```

pub mod bed;
pub mod case;
pub mod cases;
pub mod guest;
pub mod host;
pub mod marker;
pub mod payload;
pub mod traffic;
