//! The record of the REPORT call: read from guest memory, and believed only where every field makes sense.

use crate::memory::GuestRam;
use hypercall_abi::{REPORT_ABOUT_TO_OOM, REPORT_SIZE, REPORT_SIZE_MAX, Report, Status};
use vm_memory::{Bytes, GuestAddress};

/// Largest value of `Report::psi_some` and `psi_full`: 100 %.
const PSI_MAX: u32 = 10_000;

/// Reads the record at a guest-physical address.
pub(super) fn read(ram: &GuestRam, address: u64) -> Result<Report, Status> {
    let record = GuestAddress(address);
    let size: u32 = ram.read_obj(record).map_err(|_| Status::BadAddress)?;
    let size = usize::try_from(size).map_err(|_| Status::BadArgument)?;
    if !(REPORT_SIZE..=REPORT_SIZE_MAX).contains(&size) {
        return Err(Status::BadArgument);
    }
    let mut bytes = [0; REPORT_SIZE_MAX];
    ram.read_slice(&mut bytes[..size], record).map_err(|_| Status::BadAddress)?;
    let (known, unknown) = bytes[..size].split_first_chunk::<REPORT_SIZE>().ok_or(Status::BadArgument)?;
    let report = Report::from_bytes(known);
    let is_sane = report.flags & !REPORT_ABOUT_TO_OOM == 0
        && report.psi_some <= PSI_MAX
        && report.psi_full <= PSI_MAX
        && unknown.iter().all(|byte| *byte == 0);
    if is_sane { Ok(report) } else { Err(Status::BadArgument) }
}
