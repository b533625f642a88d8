//! The ACPI tables: hardware-reduced, so that no legacy timer, interrupt controller or power block needs a model.
//!
//! ```text
//! RSDP ─► XSDT ─► FADT ─► DSDT   devices: serial port, power button and its event device, pvpanic, TMEM0001,
//!            └──► MADT           one LNRO0005 a virtio-mmio device
//!                                processors and the I/O APIC
//! ```
//! Source: ACPI specification 6.5, chapters 4.1 (hardware-reduced), 5.2 (tables), 5.6.9 (generic event device).

use super::layout::{
    ACPI, IO_APIC, LOCAL_APIC, POWER_GSI, RESET_VECTOR, SERIAL_GSI, SERIAL_PORT, SERIAL_PORTS, TMEM_GSI, TMEM_PORT,
    TMEM_PORTS,
};
use crate::devices::{power, pvpanic};
use crate::memory::GuestRam;
use acpi_tables::Aml;
use acpi_tables::aml::{
    And, Device, EISAName, Field, FieldAccessType, FieldEntry, FieldLockRule, FieldUpdateRule, IO, If, Interrupt,
    Local, Memory32Fixed, Method, Name, Notify, OpRegion, OpRegionSpace, Package, Path, ResourceTemplate, Scope, Store,
};
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryError};

const OEM_ID: [u8; 6] = *b"TMEM  ";
const OEM_TABLE_ID: [u8; 8] = *b"TMEMVM  ";
const OEM_REVISION: u32 = 1;
/// `Notify` value of a pressed button.
const BUTTON_PRESSED: u8 = 0x80;
/// FADT `IAPC_BOOT_ARCH`: no VGA, no CMOS clock; and, by leaving bit 1 clear, no keyboard controller.
const BOOT_ARCH_NO_VGA_NO_CMOS: u16 = 1 << 2 | 1 << 5;
/// Bytes of a system description table's header.
const TABLE_HEADER: u32 = 36;
const TABLE_ALIGNMENT: u64 = 16;

/// A virtio-mmio device.
#[derive(Clone, Copy, Debug)]
pub struct MmioDevice {
    /// Address of its registers.
    pub base: u32,
    /// Bytes of them.
    pub size: u32,
    /// Its interrupt.
    pub gsi: u32,
}

/// What differs between one machine's tables and another's; the rest is in [`layout`](super::layout) and the devices.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Number of vCPUs.
    pub vcpus: u8,
    /// Whether there is a `TMEM0001`.
    pub tmem: bool,
    /// The virtio devices.
    pub virtio: Vec<MmioDevice>,
}

/// Writes all tables into guest memory, the RSDP at [`ACPI`].
///
/// # Errors
/// Where the tables do not fit into their room or the guest's RAM ends before it.
pub fn write(ram: &GuestRam, platform: &Platform) -> Result<(), GuestMemoryError> {
    let mut next = ACPI.unchecked_add((Rsdp::len() as u64).next_multiple_of(TABLE_ALIGNMENT));
    let mut place = |table: &[u8]| -> Result<GuestAddress, GuestMemoryError> {
        let here = next;
        let end = here.unchecked_add(table.len() as u64);
        if end > RESET_VECTOR {
            return Err(GuestMemoryError::InvalidGuestAddress(end));
        }
        ram.write_slice(table, here)?;
        next = GuestAddress(end.0.next_multiple_of(TABLE_ALIGNMENT));
        Ok(here)
    };
    let dsdt = place(&dsdt(platform))?;
    let fadt = place(&bytes(&fadt(dsdt)))?;
    let madt = place(&bytes(&madt(platform.vcpus)))?;
    let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    xsdt.add_entry(fadt.0);
    xsdt.add_entry(madt.0);
    let xsdt = place(&bytes(&xsdt))?;
    ram.write_slice(&bytes(&Rsdp::new(OEM_ID, xsdt.0)), ACPI)
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

fn fadt(dsdt: GuestAddress) -> acpi_tables::fadt::FADT {
    let register = |port: u16| GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, u64::from(port));
    let mut builder = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .dsdt_64(dsdt.0)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        .flag(Flags::Headless);
    builder.iapc_boot_arch = BOOT_ARCH_NO_VGA_NO_CMOS.into();
    builder.reset_reg = register(power::RESET_PORT);
    builder.reset_value = power::RESET_VALUE;
    builder.sleep_control_reg = register(power::SLEEP_CONTROL_PORT);
    builder.sleep_status_reg = register(power::SLEEP_STATUS_PORT);
    builder.finalize()
}

fn madt(vcpus: u8) -> MADT {
    let mut madt = MADT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION, LocalInterruptController::Address(LOCAL_APIC));
    for id in 0..vcpus {
        madt.add_structure(ProcessorLocalApic::new(id, id, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(vcpus, IO_APIC, 0));
    madt
}

fn dsdt(platform: &Platform) -> Vec<u8> {
    let mut aml = Vec::new();
    let soft_off = Package::new(vec![&power::SLEEP_TYPE_S5, &0u8, &0u8, &0u8]);
    Name::new("_S5_".into(), &soft_off).to_aml_bytes(&mut aml);

    let mut devices = Vec::new();
    for id in 0..platform.vcpus {
        processor(&mut devices, id);
    }
    serial(&mut devices);
    power_button(&mut devices);
    panic_event(&mut devices);
    if platform.tmem {
        tmem(&mut devices);
    }
    for (number, device) in platform.virtio.iter().enumerate() {
        virtio(&mut devices, number, *device);
    }
    aml.extend(Scope::raw("_SB_".into(), devices));

    let mut table = Sdt::new(*b"DSDT", TABLE_HEADER, 6, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    table.append_slice(&aml);
    table.as_slice().to_vec()
}

fn edge_interrupt(gsi: u32) -> Interrupt {
    Interrupt::new(true, true, false, false, gsi)
}

fn ports(first: u16, count: u8) -> IO {
    IO::new(first, first, 1, count)
}

fn processor(aml: &mut Vec<u8>, id: u8) {
    let hid = Name::new("_HID".into(), &"ACPI0007");
    let uid = Name::new("_UID".into(), &id);
    Device::new(Path::new(&format!("C{id:03}")), vec![&hid, &uid]).to_aml_bytes(aml);
}

fn serial(aml: &mut Vec<u8>) {
    let hid = EISAName::new("PNP0501");
    let (io, interrupt) = (ports(SERIAL_PORT, SERIAL_PORTS), edge_interrupt(SERIAL_GSI));
    let resources = ResourceTemplate::new(vec![&io, &interrupt]);
    Device::new(
        "COM1".into(),
        vec![&Name::new("_HID".into(), &hid), &Name::new("_UID".into(), &0u8), &Name::new("_CRS".into(), &resources)],
    )
    .to_aml_bytes(aml);
}

/// The power button, and the generic event device whose `_EVT` finds out what has happened.
fn power_button(aml: &mut Vec<u8>) {
    let button = EISAName::new("PNP0C0C");
    Device::new("PWRB".into(), vec![&Name::new("_HID".into(), &button), &Name::new("_UID".into(), &0u8)])
        .to_aml_bytes(aml);

    let interrupt = edge_interrupt(POWER_GSI);
    let resources = ResourceTemplate::new(vec![&interrupt]);
    let region = OpRegion::new("PREG".into(), OpRegionSpace::SystemIO, &power::BUTTON_STATUS_PORT, &1u8);
    let field = Field::new(
        "PREG".into(),
        FieldAccessType::Byte,
        FieldLockRule::NoLock,
        FieldUpdateRule::WriteAsZeroes,
        vec![FieldEntry::Named(*b"PEVT", 8)],
    );
    let pressed = Path::new("PWRB");
    let event_bits = Path::new("PEVT");
    let read = Store::new(&Local(0), &event_bits);
    let mask = And::new(&Local(1), &Local(0), &power::BUTTON_PRESSED);
    let notify = Notify::new(&pressed, &BUTTON_PRESSED);
    let announce = If::new(&Local(1), vec![&notify]);
    Device::new(
        "GED_".into(),
        vec![
            &Name::new("_HID".into(), &"ACPI0013"),
            &Name::new("_UID".into(), &0u8),
            &Name::new("_CRS".into(), &resources),
            &region,
            &field,
            &Method::new("_EVT".into(), 1, true, vec![&read, &mask, &announce]),
        ],
    )
    .to_aml_bytes(aml);
}

/// The id and the single port are those of QEMU's device, which Linux' pvpanic driver binds to.
fn panic_event(aml: &mut Vec<u8>) {
    let io = ports(pvpanic::PORT, 1);
    let resources = ResourceTemplate::new(vec![&io]);
    Device::new(
        "PVPN".into(),
        vec![
            &Name::new("_HID".into(), &"QEMU0001"),
            &Name::new("_UID".into(), &0u8),
            &Name::new("_STA".into(), &0xfu8),
            &Name::new("_CRS".into(), &resources),
        ],
    )
    .to_aml_bytes(aml);
}

fn tmem(aml: &mut Vec<u8>) {
    let (io, interrupt) = (ports(TMEM_PORT, TMEM_PORTS), edge_interrupt(TMEM_GSI));
    let resources = ResourceTemplate::new(vec![&io, &interrupt]);
    Device::new(
        "TMEM".into(),
        vec![
            &Name::new("_HID".into(), &hypercall_abi::ACPI_HID),
            &Name::new("_UID".into(), &0u8),
            &Name::new("_CRS".into(), &resources),
        ],
    )
    .to_aml_bytes(aml);
}

/// `LNRO0005` is the id that Linux' virtio-mmio driver binds to.
fn virtio(aml: &mut Vec<u8>, number: usize, device: MmioDevice) {
    let (memory, interrupt) = (Memory32Fixed::new(true, device.base, device.size), edge_interrupt(device.gsi));
    let resources = ResourceTemplate::new(vec![&memory, &interrupt]);
    Device::new(
        Path::new(&format!("VR{number:02}")),
        vec![
            &Name::new("_HID".into(), &"LNRO0005"),
            &Name::new("_UID".into(), &number),
            &Name::new("_CCA".into(), &1u8),
            &Name::new("_CRS".into(), &resources),
        ],
    )
    .to_aml_bytes(aml);
}
