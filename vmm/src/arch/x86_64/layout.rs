//! The guest's address map.
//!
//! ```text
//! 0x0000_0500  GDT                                   ┐
//! 0x0000_7000  boot_params (the "zero page")         │
//! 0x0000_9000  page tables (PML4, PDPT, 4 × PD)      │ low RAM
//! 0x0002_0000  kernel command line                   │
//! 0x000A_0000  (legacy video hole)                   ┘
//! 0x000E_0000  ACPI tables, RSDP first               reserved in e820
//! 0x000F_FFF0  reset vector
//! 0x0010_0000  kernel, …, initramfs at the top       RAM
//! 0xC000_0000  MMIO: virtio-mmio devices
//! 0xFEC0_0000  I/O APIC        0xFEE0_0000 local APIC
//! 0xFFFB_C000  KVM's identity map page and TSS
//! 1_0000_0000  the rest of RAM, where there is more than 3 GiB
//! ```

use vm_memory::GuestAddress;

/// Where the GDT lies.
pub const GDT: GuestAddress = GuestAddress(0x500);
/// Where `boot_params` lies.
pub const BOOT_PARAMS: GuestAddress = GuestAddress(0x7000);
/// Where the first page table lies.
pub const PML4: GuestAddress = GuestAddress(0x9000);
/// Initial stack pointer; the 64-bit boot protocol does not use it.
pub const BOOT_STACK: GuestAddress = GuestAddress(0x8ff0);
/// Where the command line lies.
pub const CMDLINE: GuestAddress = GuestAddress(0x2_0000);
/// Longest command line that x86 kernels take, its NUL included.
pub const CMDLINE_MAX: usize = 2048;
/// First byte that is no conventional low memory.
pub const LOW_RAM_END: u64 = 0xa_0000;
/// Where the ACPI tables start; the RSDP is the first, where kernels scan for it.
pub const ACPI: GuestAddress = GuestAddress(0xe_0000);
/// Where a jump to the BIOS' start leads; behind the room for ACPI tables.
pub const RESET_VECTOR: GuestAddress = GuestAddress(0xf_fff0);
/// Where high memory starts and a kernel is loaded.
pub const HIGH_RAM: GuestAddress = GuestAddress(0x10_0000);
/// First byte of the hole for devices below 4 GiB.
pub const MMIO_HOLE: u64 = 0xc000_0000;
/// First byte behind that hole.
pub const MMIO_HOLE_END: u64 = 1 << 32;
/// Registers of the first virtio-mmio device.
pub const VIRTIO_MMIO: u64 = 0xd000_0000;
/// Bytes between two virtio-mmio devices.
pub const VIRTIO_MMIO_STRIDE: u64 = 0x1000;
/// The I/O APIC that KVM provides.
pub const IO_APIC: u32 = 0xfec0_0000;
/// The local APIC that KVM provides.
pub const LOCAL_APIC: u32 = 0xfee0_0000;
/// One page that KVM on old Intel processors needs for its identity map.
pub const KVM_IDENTITY_MAP: u64 = 0xfffb_c000;
/// Three pages that KVM on old Intel processors needs for a task state segment.
pub const KVM_TSS: usize = 0xfffb_d000;

/// First serial port.
pub const SERIAL_PORT: u16 = 0x3f8;
/// Ports of the serial port.
pub const SERIAL_PORTS: u8 = 8;
/// Its interrupt.
pub const SERIAL_GSI: u32 = 4;
/// The hypercall port.
pub const TMEM_PORT: u16 = 0x780;
/// Ports of the `TMEM0001` device.
pub const TMEM_PORTS: u8 = 4;
/// Interrupt of the `TMEM0001` device; reserved, nothing raises it in version 1.
pub const TMEM_GSI: u32 = 5;
/// Interrupt of the generic event device, which carries the power button.
pub const POWER_GSI: u32 = 6;
/// Interrupt of the first virtio device; each has its own.
pub const VIRTIO_GSI: u32 = 7;
/// Interrupts of the I/O APIC.
pub const GSI_COUNT: u32 = 24;
