//! The state in which the boot vCPU starts: 64-bit mode, the first 4 GiB mapped one to one.
//!
//! Source of the bits: Intel SDM volume 3, sections 2.5 (control registers), 3.4.5 (segment descriptors) and 4.5
//! (4-level paging); the selectors are those the Linux boot protocol demands of a 64-bit loader.

use super::layout::{BOOT_PARAMS, BOOT_STACK, GDT, PML4};
use crate::memory::GuestRam;
use kvm_bindings::{kvm_fpu, kvm_regs, kvm_segment, kvm_sregs};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryError};

const CR0_PE: u64 = 1 << 0;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const CR4_OSFXSR: u64 = 1 << 9;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;

const PRESENT_WRITABLE: u64 = 0b11;
const LARGE_PAGE: u64 = 1 << 7;
const GIB: u64 = 1 << 30;
const MAPPED_GIB: u64 = 4;
const ENTRIES: u64 = 512;

/// `__BOOT_CS` and `__BOOT_DS` of the boot protocol.
const CODE_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;
/// Flat 64-bit code: present, execute/read, long mode, 4 KiB granularity.
const CODE_DESCRIPTOR: u64 = 0x00af_9b00_0000_ffff;
/// Flat data: present, read/write.
const DATA_DESCRIPTOR: u64 = 0x00cf_9300_0000_ffff;

/// Writes the GDT and the page tables, and points `sregs` at them.
///
/// # Errors
/// Where the guest has less RAM than these tables need.
pub fn set_up(ram: &GuestRam, sregs: &mut kvm_sregs) -> Result<(), GuestMemoryError> {
    let gdt = [0, 0, CODE_DESCRIPTOR, DATA_DESCRIPTOR];
    for (slot, descriptor) in (0u64..).zip(gdt) {
        ram.write_obj(descriptor, GDT.unchecked_add(slot * 8))?;
    }
    sregs.gdt.base = GDT.0;
    sregs.gdt.limit = 4 * 8 - 1;
    sregs.idt.base = 0;
    sregs.idt.limit = 0;
    sregs.cs = segment(CODE_SELECTOR, true);
    for register in [&mut sregs.ds, &mut sregs.es, &mut sregs.fs, &mut sregs.gs, &mut sregs.ss] {
        *register = segment(DATA_SELECTOR, false);
    }

    let pdpt = PML4.unchecked_add(0x1000);
    ram.write_obj(pdpt.0 | PRESENT_WRITABLE, PML4)?;
    for gib in 0..MAPPED_GIB {
        let directory = pdpt.unchecked_add(0x1000 * (gib + 1));
        ram.write_obj(directory.0 | PRESENT_WRITABLE, pdpt.unchecked_add(gib * 8))?;
        for entry in 0..ENTRIES {
            let target = gib * GIB + (entry << 21);
            ram.write_obj(target | PRESENT_WRITABLE | LARGE_PAGE, directory.unchecked_add(entry * 8))?;
        }
    }
    sregs.cr3 = PML4.0;
    sregs.cr4 |= CR4_PAE | CR4_OSFXSR;
    sregs.cr0 |= CR0_PE | CR0_PG;
    sregs.efer |= EFER_LME | EFER_LMA;
    Ok(())
}

/// General registers at the kernel's 64-bit entry: `RSI` points at `boot_params`.
#[must_use]
pub fn registers(entry: GuestAddress) -> kvm_regs {
    kvm_regs {
        rflags: 0x2,
        rip: entry.0,
        rsp: BOOT_STACK.0,
        rbp: BOOT_STACK.0,
        rsi: BOOT_PARAMS.0,
        ..kvm_regs::default()
    }
}

/// The x87 and SSE control words after `FINIT` and at reset.
#[must_use]
pub fn fpu() -> kvm_fpu {
    kvm_fpu { fcw: 0x37f, mxcsr: 0x1f80, ..kvm_fpu::default() }
}

fn segment(selector: u16, code: bool) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        type_: if code { 0xb } else { 0x3 },
        present: 1,
        dpl: 0,
        db: u8::from(!code),
        s: 1,
        l: u8::from(code),
        g: 1,
        avl: 0,
        padding: 0,
        unusable: 0,
    }
}
