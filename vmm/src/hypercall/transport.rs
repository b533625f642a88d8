//! From an `OUT` to a call and back: which write is a call, and where its registers are.

use super::dispatch::Hypercalls;
use super::registers::Registers;
use hypercall_abi::Status;
use kvm_bindings::kvm_regs;

/// A write to an I/O port, as KVM reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortWrite {
    /// Bytes of one item: 1, 2 or 4.
    pub size: u8,
    /// Number of items; more than one only for a string instruction.
    pub count: u32,
    /// The first item, where it is of four bytes.
    pub value: Option<u32>,
}

/// Answers a write to the hypercall port in the guest's registers.
///
/// A call is a single 4-byte write of `EAX`; KVM does not tell a string `OUT` of one item from a plain one, so the
/// written value must be what `EAX` holds. Anything else is `BAD_CALL`. `RIP` is left alone: whether it stands at the
/// `OUT` or behind it differs between KVM's back ends. `RAX` is always changed, so the caller marks the registers dirty.
pub fn call(hypercalls: &Hypercalls, write: PortWrite, registers: &mut kvm_regs) {
    let number = registers.rax & u64::from(u32::MAX);
    let is_call = write.size == 4 && write.count == 1 && write.value.map(u64::from) == Some(number);
    if !is_call {
        hypercalls.not_a_call();
        registers.rax = Status::BadCall.register();
        return;
    }
    let reply = hypercalls.dispatch(&Registers {
        rax: registers.rax,
        rdi: registers.rdi,
        rsi: registers.rsi,
        r8: registers.r8,
        r9: registers.r9,
        r10: registers.r10,
        r11: registers.r11,
    });
    registers.rax = reply.status.register();
    if let Some(value) = reply.rdi {
        registers.rdi = value;
    }
    if let Some(value) = reply.rsi {
        registers.rsi = value;
    }
    if let Some(value) = reply.r8 {
        registers.r8 = value;
    }
}
