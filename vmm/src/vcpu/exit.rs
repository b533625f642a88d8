//! What each exit of the guest means, apart from hypercalls. Testable without KVM.

use super::{Step, VcpuError};
use crate::devices::bus::Bus;
use kvm_ioctls::VcpuExit;

/// How a guest ends by its own doing on a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A fault while handling a double fault, or a guest that asks for it.
    TripleFault,
    /// The guest halted where nothing can wake it (no interrupt controller: payloads only).
    Halt,
}

/// Where port and memory accesses go.
#[derive(Debug, Default)]
pub struct Ports {
    /// I/O ports.
    pub pio: Bus,
    /// Device memory.
    pub mmio: Bus,
}

/// Handles one exit.
pub(super) fn handle(id: u8, exit: VcpuExit<'_>, ports: &Ports) -> Result<Step, VcpuError> {
    match exit {
        VcpuExit::IoIn(port, data) => ports.pio.read(u64::from(port), data),
        VcpuExit::IoOut(port, data) => ports.pio.write(u64::from(port), data),
        VcpuExit::MmioRead(address, data) => ports.mmio.read(address, data),
        VcpuExit::MmioWrite(address, data) => ports.mmio.write(address, data),
        VcpuExit::Intr | VcpuExit::IrqWindowOpen => return Ok(Step::Interrupted),
        VcpuExit::Hlt => return Ok(Step::Stop(Stop::Halt)),
        VcpuExit::Shutdown => return Ok(Step::Stop(Stop::TripleFault)),
        other => return Err(VcpuError::Unhandled { id, exit: format!("{other:?}") }),
    };
    Ok(Step::Handled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_of_nobodys_port_is_all_ones() {
        let mut data = [0; 4];
        let step = handle(0, VcpuExit::IoIn(0xcf8, &mut data), &Ports::default());
        assert_eq!(step.unwrap(), Step::Handled);
        assert_eq!(data, [0xff; 4]);
    }

    #[test]
    fn a_triple_fault_stops_and_an_unknown_exit_is_an_error_with_its_name() {
        let ports = Ports::default();
        assert_eq!(handle(0, VcpuExit::Shutdown, &ports).unwrap(), Step::Stop(Stop::TripleFault));
        let error = handle(3, VcpuExit::InternalError, &ports).unwrap_err().to_string();
        assert!(error.contains("vCPU 3") && error.contains("InternalError"), "{error}");
    }
}
