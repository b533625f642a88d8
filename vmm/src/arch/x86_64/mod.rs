//! x86-64: boots a kernel by the 64-bit Linux boot protocol, with hardware-reduced ACPI.

pub mod acpi;
pub mod boot;
pub mod cpuid;
pub mod layout;
pub mod long_mode;
pub mod reset;
