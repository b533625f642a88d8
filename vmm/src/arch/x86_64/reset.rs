//! The machine's whole firmware: what lies at the reset vector.
//!
//! Linux prefers EFI's reset on hardware-reduced ACPI, and where there is no EFI it goes on to the BIOS way: it returns
//! to real mode and jumps to FFFF:0000 (`reboot_init` and `native_machine_emergency_restart` in
//! arch/x86/kernel/reboot.c). A BIOS would start the machine again from there; we tell the VMM to.

use super::layout::RESET_VECTOR;
use crate::devices::power::{RESET_PORT, RESET_VALUE};
use crate::memory::GuestRam;
use vm_memory::{Bytes, GuestMemoryError};

/// Writes the code that a jump to the reset vector runs.
///
/// # Errors
/// Where the guest's RAM ends before it.
pub fn write_vector(ram: &GuestRam) -> Result<(), GuestMemoryError> {
    let [low, high] = RESET_PORT.to_le_bytes();
    #[rustfmt::skip]
    let code = [
        0xba, low, high,   // mov dx, RESET_PORT
        0xb0, RESET_VALUE, // mov al, RESET_VALUE
        0xee,              // out dx, al
        0xf4,              // hlt
        0xeb, 0xfd,        // jmp to the hlt
    ];
    ram.write_slice(&code, RESET_VECTOR)
}
