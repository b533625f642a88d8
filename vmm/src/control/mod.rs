//! The control socket of a running VM: `tmem list`, `show`, `set`, `freeze`, `thaw`, `flush` and `stop` talk to it.
//!
//! The socket's name is abstract (unix(7)): it is in no file system, so nothing is left of it however the process ends.
//! Abstract names have no permissions, so each side asks the kernel who the other one is: the server answers its own
//! user and root, and a client believes nobody else ([`observe::peer`]). They belong to a network namespace: a VM in a
//! container is seen from inside that container.
//!
//! [`Server`] runs on the VM's event loop and delays nobody there: it never waits, does a bounded amount of work per
//! event, holds a bounded number of connections with bounded buffers, and a new connection pushes out the one that was
//! silent for longest.

mod answer;
mod connection;
mod server;
mod socket;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use protocol::VmReport;

pub use server::{CONNECTIONS_MAX, Server};
pub use socket::{BindError, Socket};

/// What a control socket controls: the VM, seen from its event loop. No method waits for the guest.
pub trait ControlTarget {
    /// The VM as it is now.
    fn report(&self) -> VmReport;

    /// Sets what the VM's store may hold at most, in bytes; the caller has made sure that it is not below the
    /// reservation.
    ///
    /// # Errors
    ///
    /// [`ControlError`]
    fn set_limit(&self, limit_bytes: u64) -> Result<(), ControlError>;

    /// Rejects new pages from now on.
    ///
    /// # Errors
    ///
    /// [`ControlError`]
    fn freeze(&self) -> Result<(), ControlError>;

    /// Accepts pages again.
    ///
    /// # Errors
    ///
    /// [`ControlError`]
    fn thaw(&self) -> Result<(), ControlError>;

    /// Drops ephemeral pages until `bytes` have come back or none are left, and returns how many bytes came back.
    ///
    /// # Errors
    ///
    /// [`ControlError`]
    fn flush(&self, bytes: u64) -> Result<u64, ControlError>;

    /// Presses the power button.
    ///
    /// # Errors
    ///
    /// [`ControlError`]
    fn power_button(&self) -> Result<(), ControlError>;
}

/// Why a VM did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// the VM runs without tmem
    #[error("this VM runs without tmem (`enabled = false` in its vm.toml)")]
    NoTmem,
    /// the host could not do it
    #[error("the host could not do it: {0}")]
    Host(#[from] std::io::Error),
}

impl<T: ControlTarget + ?Sized> ControlTarget for Arc<T> {
    fn report(&self) -> VmReport {
        (**self).report()
    }

    fn set_limit(&self, limit_bytes: u64) -> Result<(), ControlError> {
        (**self).set_limit(limit_bytes)
    }

    fn freeze(&self) -> Result<(), ControlError> {
        (**self).freeze()
    }

    fn thaw(&self) -> Result<(), ControlError> {
        (**self).thaw()
    }

    fn flush(&self, bytes: u64) -> Result<u64, ControlError> {
        (**self).flush(bytes)
    }

    fn power_button(&self) -> Result<(), ControlError> {
        (**self).power_button()
    }
}
