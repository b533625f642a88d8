//! One row of the payload's table: how to make a call, and the registers before and after it.

use hypercall_abi::{ABI_VERSION, BatchEntry, Call, Status};

/// Bytes of a [`Record`].
pub const SIZE: usize = 64;

/// How the payload writes to the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The end of the table.
    End = 0,
    /// `OUT %eax, %dx`: a call.
    Out = 1,
    /// `OUT %ax, %dx`.
    OutWord = 2,
    /// `OUT %al, %dx`.
    OutByte = 3,
    /// `REP OUTSL` of RDI items; they start at guest-physical address RSI.
    OutString = 4,
}

/// The registers of a call: what they shall be before it, what they are after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the registers")]
pub struct Record {
    pub how: How,
    pub rax: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
}

impl Record {
    pub(super) const END: Self = Self { how: How::End, rax: 0, rdi: 0, rsi: 0, r8: 0, r9: 0, r10: 0, r11: 0 };

    /// A call with all arguments 0.
    #[must_use]
    pub fn call(call: Call) -> Self {
        Self::number(call.number())
    }

    /// A call by its number, which need not exist.
    #[must_use]
    pub fn number(number: u32) -> Self {
        Self { how: How::Out, rax: u64::from(number), ..Self::END }
    }

    /// The status that RAX holds after the call. It must be one of version 1, sign-extended.
    #[must_use]
    pub fn status(&self) -> Status {
        let found = Status::ALL.into_iter().find(|status| status.register() == self.rax);
        found.unwrap_or_else(|| unreachable!("RAX {:#x} is no status", self.rax))
    }

    pub(super) fn to_bytes(self) -> [u8; SIZE] {
        let words = [self.how as u64, self.rax, self.rdi, self.rsi, self.r8, self.r9, self.r10, self.r11];
        let mut bytes = [0; SIZE];
        for (word, place) in words.into_iter().zip(bytes.as_chunks_mut::<8>().0) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let word = |index: usize| u64::from_le_bytes(bytes.as_chunks::<8>().0[index]);
        let how = [How::End, How::Out, How::OutWord, How::OutByte, How::OutString]
            .into_iter()
            .find(|how| *how as u64 == word(0))
            .unwrap_or_else(|| unreachable!("the payload changed the kind of a record"));
        let [rax, rdi, rsi, r8, r9, r10, r11] = std::array::from_fn(|index| word(index + 1));
        Self { how, rax, rdi, rsi, r8, r9, r10, r11 }
    }
}

/// HELLO of this version, using no feature.
#[must_use]
pub fn hello() -> Record {
    Record { rdi: u64::from(ABI_VERSION), ..Record::call(Call::Hello) }
}

/// POOL_NEW with these flags.
#[must_use]
pub fn pool_new(flags: u64) -> Record {
    Record { rdi: flags, ..Record::call(Call::PoolNew) }
}

/// PUT of `frame` at `index` of object 0.
#[must_use]
pub fn put(pool: u32, index: u32, frame: u64) -> Record {
    Record { rdi: u64::from(pool) << 32 | u64::from(index), rsi: frame, ..Record::call(Call::Put) }
}

/// GET of `index` of object 0 into `frame`.
#[must_use]
pub fn get(pool: u32, index: u32, frame: u64) -> Record {
    Record { rax: u64::from(Call::Get.number()), ..put(pool, index, frame) }
}

/// A batch entry of object 0.
///
/// # Panics
/// Never: the call numbers of version 1 have 16 bits.
#[must_use]
pub fn batch_entry(call: Call, pool: u32, index: u32, frame: u64) -> BatchEntry {
    BatchEntry { call: u16::try_from(call.number()).expect("16 bits"), pool, index, frame, ..BatchEntry::default() }
}
