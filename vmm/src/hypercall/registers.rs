//! The registers that a call reads and changes.

use hypercall_abi::Status;

/// The registers of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the registers")]
pub struct Registers {
    pub rax: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
}

/// What a call answers: the status, and the registers that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Goes into `RAX`.
    pub status: Status,
    /// New value of `RDI`.
    pub rdi: Option<u64>,
    /// New value of `RSI`.
    pub rsi: Option<u64>,
    /// New value of `R8`.
    pub r8: Option<u64>,
}

impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        Self { status, rdi: None, rsi: None, r8: None }
    }
}

impl Registers {
    /// `EAX`.
    pub(super) const fn call_number(&self) -> u32 {
        halves(self.rax).1
    }
}

/// The high and the low 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "taking the halves is the point")]
pub(super) const fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}
