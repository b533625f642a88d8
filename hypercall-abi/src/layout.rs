//! Layouts in guest memory.

/// One entry of a batch: 64 bytes, 64-byte aligned.
///
/// The array is one contiguous range inside one RAM region, of at most [`BATCH_MAX`](crate::BATCH_MAX) entries. It is
/// copied in once before it is read; only `status` is written back.
///
/// ```text
///  0     2     4       8     12     16                    40      48             64
///  ┌─────┬─────┬───────┬─────┬──────┬─────────────────────┬───────┬──────────────┐
///  │call │flags│status │pool │index │ object (3 × u64)    │ frame │ reserved (0) │
///  └─────┴─────┴───────┴─────┴──────┴─────────────────────┴───────┴──────────────┘
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct BatchEntry {
    /// Low 16 bits of the call number: `PUT`, `GET` or `FLUSH_RANGE`.
    pub call: u16,
    /// Flags of the call (`GET_EXCLUSIVE`); 0 for the others.
    pub flags: u16,
    /// Written by the host: the status of this entry.
    pub status: i32,
    /// Pool id.
    pub pool: u32,
    /// Page index, or the first of a range.
    pub index: u32,
    /// Object id.
    pub object: [u64; 3],
    /// Frame of the page; for `FLUSH_RANGE` the count of indexes.
    pub frame: u64,
    /// Must be 0.
    pub reserved: [u64; 2],
}

/// Size of a [`BatchEntry`] in bytes.
pub const BATCH_ENTRY_SIZE: usize = 64;
/// Offset of [`BatchEntry::status`] in bytes.
pub const BATCH_STATUS_OFFSET: usize = 4;

impl BatchEntry {
    /// Reads an entry from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; BATCH_ENTRY_SIZE]) -> Self {
        Self {
            call: u16::from_le_bytes(field(bytes, 0)),
            flags: u16::from_le_bytes(field(bytes, 2)),
            status: i32::from_le_bytes(field(bytes, 4)),
            pool: u32::from_le_bytes(field(bytes, 8)),
            index: u32::from_le_bytes(field(bytes, 12)),
            object: [
                u64::from_le_bytes(field(bytes, 16)),
                u64::from_le_bytes(field(bytes, 24)),
                u64::from_le_bytes(field(bytes, 32)),
            ],
            frame: u64::from_le_bytes(field(bytes, 40)),
            reserved: [u64::from_le_bytes(field(bytes, 48)), u64::from_le_bytes(field(bytes, 56))],
        }
    }

    /// The bytes of this entry as they lie in guest memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; BATCH_ENTRY_SIZE] {
        let mut bytes = [0; BATCH_ENTRY_SIZE];
        bytes[0..2].copy_from_slice(&self.call.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.flags.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.status.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.pool.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.index.to_le_bytes());
        for (i, word) in self.object.iter().enumerate() {
            bytes[16 + 8 * i..24 + 8 * i].copy_from_slice(&word.to_le_bytes());
        }
        bytes[40..48].copy_from_slice(&self.frame.to_le_bytes());
        for (i, word) in self.reserved.iter().enumerate() {
            bytes[48 + 8 * i..56 + 8 * i].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// `Report::flags`: the guest is about to start its OOM killer.
pub const REPORT_ABOUT_TO_OOM: u32 = 1 << 0;
/// Size of the version 1 [`Report`] in bytes, the least that `REPORT` takes.
pub const REPORT_SIZE: usize = 56;
/// Largest `Report::size` that `REPORT` takes; bytes behind [`REPORT_SIZE`] must be 0 for a host of version 1.
pub const REPORT_SIZE_MAX: usize = 4096;

/// What a guest tells about its memory. Fields are only ever appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Report {
    /// Size of the record in bytes, this field included.
    pub size: u32,
    /// `REPORT_*` bits.
    pub flags: u32,
    /// PSI memory `some avg10`, in hundredths of a percent (0 … 10 000).
    pub psi_some: u32,
    /// PSI memory `full avg10`, in hundredths of a percent (0 … 10 000).
    pub psi_full: u32,
    /// Memory committed, in pages.
    pub committed_pages: u64,
    /// Free memory, in pages.
    pub free_pages: u64,
    /// Total memory the guest's kernel manages, in pages.
    pub total_pages: u64,
    /// Pages swapped in since boot.
    pub swap_in_pages: u64,
    /// Pages swapped out since boot.
    pub swap_out_pages: u64,
}

impl Report {
    /// Reads the version 1 fields of a record from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; REPORT_SIZE]) -> Self {
        Self {
            size: u32::from_le_bytes(field(bytes, 0)),
            flags: u32::from_le_bytes(field(bytes, 4)),
            psi_some: u32::from_le_bytes(field(bytes, 8)),
            psi_full: u32::from_le_bytes(field(bytes, 12)),
            committed_pages: u64::from_le_bytes(field(bytes, 16)),
            free_pages: u64::from_le_bytes(field(bytes, 24)),
            total_pages: u64::from_le_bytes(field(bytes, 32)),
            swap_in_pages: u64::from_le_bytes(field(bytes, 40)),
            swap_out_pages: u64::from_le_bytes(field(bytes, 48)),
        }
    }
}

/// The `N` bytes at `offset`; the offsets above are constants inside their arrays.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

const _: () = assert!(size_of::<BatchEntry>() == BATCH_ENTRY_SIZE);
const _: () = assert!(core::mem::offset_of!(BatchEntry, status) == BATCH_STATUS_OFFSET);
const _: () = assert!(size_of::<Report>() == REPORT_SIZE);
