//! The hypercall interface of tmem, version 1.
//!
//! A guest's driver binds to the ACPI device [`ACPI_HID`], whose `_CRS` names one I/O port range and one
//! edge-triggered interrupt. A call is a 4-byte, single, non-string `OUT %eax, %dx` to the first port, made in 64-bit
//! mode: `EAX` holds the [`Call`] number, the arguments are in `RDI`, `RSI`, `R8`, `R9`, `R10`, `R11`. On return `RAX`
//! holds a [`Status`], sign-extended to 64 bits; only the registers a call names as results change.
//!
//! | call | arguments | results |
//! |---|---|---|
//! | [`Call::Hello`] | RDI version, RSI features the guest will use | RDI version, RSI features offered, R8 largest batch |
//! | [`Call::PoolNew`] | RDI pool flags, RSI and R8 UUID (0 for a private pool) | RDI pool id |
//! | [`Call::PoolDestroy`] | RDI pool | |
//! | [`Call::Put`] | RDI pool (high half) and index (low half), RSI frame, R8–R10 object | |
//! | [`Call::Get`] | as `Put`, R11 get flags | |
//! | [`Call::FlushRange`] | RDI pool and first index, RSI count, R8–R10 object | |
//! | [`Call::FlushObject`] | RDI pool, R8–R10 object | |
//! | [`Call::Batch`] | RDI guest-physical address of [`BatchEntry`]s, RSI count | RDI entries done |
//! | [`Call::Events`] | | RDI event bits, RSI shrink target in pages |
//! | [`Call::Report`] | RDI guest-physical address of a [`Report`] | |
//!
//! A *frame* is a guest-physical address shifted right by [`PAGE_SHIFT`]. Everything is little-endian. What each call
//! promises is written in `docs/contract.md`.
//!
//! `include/tmem_abi.h` is made from this crate (`UPDATE_ABI_HEADER=1 cargo test -p hypercall-abi` rewrites it), and a
//! test compiles it and compares every size, offset and constant.
#![no_std]
// The layouts below are the whole crate: nothing here needs `unsafe`.
#![forbid(unsafe_code)]

mod call;
mod layout;
mod status;

pub use call::*;
pub use layout::*;
pub use status::*;

/// Version of the interface that this crate describes.
pub const ABI_VERSION: u32 = 1;
/// ACPI hardware id of the device that a guest driver binds to.
pub const ACPI_HID: &str = "TMEM0001";
/// log2 of the page size.
pub const PAGE_SHIFT: u32 = 12;
/// Size of a page in bytes.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// Largest number of entries of one batch.
pub const BATCH_MAX: u32 = 64;
/// Largest pool id that `POOL_NEW` returns; ids start at 1.
pub const POOL_ID_MAX: u32 = 0x7fff_ffff;
