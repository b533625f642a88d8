//! A virtual processor: enters the guest and handles why it came back.

mod exit;
mod kick;
mod thread;

pub use exit::{Ports, Stop};
pub use thread::VcpuThread;

use crate::arch::x86_64::layout::TMEM_PORT;
use crate::hypercall::{self, Hypercalls, PortWrite, Registers};
use kvm_bindings::{KVM_EXIT_IO, KVM_EXIT_IO_OUT, kvm_regs};
use kvm_ioctls::{SyncReg, VcpuExit, VcpuFd};
use std::sync::Arc;

/// Why a vCPU cannot go on: conditions of the host, or a bug of ours. What the guest does is a [`Stop`].
#[derive(Debug, thiserror::Error)]
pub enum VcpuError {
    /// KVM_RUN failed.
    #[error("vCPU {id}: KVM_RUN failed")]
    Run {
        /// The vCPU.
        id: u8,
        /// What the host says.
        #[source]
        source: kvm_ioctls::Error,
    },
    /// Our own bug.
    #[error("vCPU {id}: its thread panicked, which is a bug of tmem")]
    Panicked {
        /// The vCPU.
        id: u8,
    },
    /// KVM left the guest for a reason that we do not handle.
    #[error("vCPU {id}: KVM stopped it with {exit}")]
    Unhandled {
        /// The vCPU.
        id: u8,
        /// The exit.
        exit: String,
    },
}

/// What became of one entry into the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A hypercall was answered; it is complete when the vCPU enters the guest again.
    Hypercall,
    /// Something else was handled.
    Handled,
    /// A signal ended it before the guest did.
    Interrupted,
    /// The guest ended its own life.
    Stop(Stop),
}

/// A vCPU, with what it needs to handle its exits.
#[derive(Debug)]
pub struct Vcpu {
    id: u8,
    fd: VcpuFd,
    ports: Arc<Ports>,
    hypercalls: Option<Arc<Hypercalls>>,
}

impl Vcpu {
    /// Wraps a vCPU whose registers are set. KVM must have `KVM_CAP_SYNC_REGS`.
    #[must_use]
    pub fn new(id: u8, mut fd: VcpuFd, ports: Arc<Ports>, hypercalls: Option<Arc<Hypercalls>>) -> Self {
        fd.set_sync_valid_reg(SyncReg::Register);
        Self { id, fd, ports, hypercalls }
    }

    /// Number of this vCPU.
    #[must_use]
    pub fn id(&self) -> u8 {
        self.id
    }

    /// KVM's side of it.
    #[must_use]
    pub fn fd(&self) -> &VcpuFd {
        &self.fd
    }

    /// Enters the guest once and handles the exit.
    ///
    /// # Errors
    /// Where KVM fails or leaves the guest for a reason that has nothing to do with it.
    pub fn step(&mut self) -> Result<Step, VcpuError> {
        match self.fd.run() {
            Ok(VcpuExit::IoOut(TMEM_PORT, data)) if self.hypercalls.is_some() => {
                let value = data.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
                self.hypercall(value);
                Ok(Step::Hypercall)
            }
            Ok(exit) => exit::handle(self.id, exit, &self.ports),
            Err(error) if error.errno() == libc::EINTR || error.errno() == libc::EAGAIN => Ok(Step::Interrupted),
            Err(source) => Err(VcpuError::Run { id: self.id, source }),
        }
    }

    /// Completes a call or an access that has been answered but not yet entered the guest: a state saved before that
    /// would execute the instruction again. After this the vCPU's registers can be saved, or set.
    ///
    /// # Errors
    /// Where KVM fails.
    pub fn complete_pending(&mut self) -> Result<(), VcpuError> {
        self.fd.set_kvm_immediate_exit(1);
        let result = self.fd.run().map(|_| ());
        self.fd.set_kvm_immediate_exit(0);
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.errno() == libc::EINTR => Ok(()),
            Err(source) => Err(VcpuError::Run { id: self.id, source }),
        }
    }

    /// Answers a write to the hypercall port. `first_item` is what was written, where it is of four bytes.
    fn hypercall(&mut self, first_item: Option<u32>) {
        let Some(hypercalls) = self.hypercalls.as_ref() else { return };
        let write = shape(&mut self.fd, first_item);
        let registers: kvm_regs = self.fd.sync_regs_mut().regs;
        let is_hello = Hypercalls::is_hello(&Registers { rax: registers.rax, ..Registers::default() });
        let write = if is_hello && !in_64_bit_mode(&self.fd) { PortWrite { value: None, ..write } } else { write };
        hypercall::call(hypercalls, write, &mut self.fd.sync_regs_mut().regs);
        self.fd.set_sync_dirty_reg(SyncReg::Register);
    }
}

/// Item size and count of the port write that KVM reports; kvm-ioctls hands out their product only.
fn shape(fd: &mut VcpuFd, value: Option<u32>) -> PortWrite {
    let run = fd.get_kvm_run();
    debug_assert_eq!(run.exit_reason, KVM_EXIT_IO);
    // SAFETY: the exit reason is KVM_EXIT_IO (the caller matched on it), which says that the kernel filled this
    // member of the union; every bit pattern of it is valid.
    let io = unsafe { run.__bindgen_anon_1.io };
    debug_assert_eq!(u32::from(io.direction), KVM_EXIT_IO_OUT);
    PortWrite { size: io.size, count: io.count, value }
}

/// Whether the code that made the call runs in 64-bit mode: EFER.LMA and a 64-bit code segment.
fn in_64_bit_mode(fd: &VcpuFd) -> bool {
    const EFER_LMA: u64 = 1 << 10;
    fd.get_sregs().is_ok_and(|sregs| sregs.efer & EFER_LMA != 0 && sregs.cs.l == 1)
}
