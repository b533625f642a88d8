//! Loads a kernel and an initramfs by the Linux boot protocol.
//!
//! Source: Documentation/arch/x86/boot.rst of the kernel (header fields, 64-bit entry at 0x200 behind the load
//! address, what `boot_params` must hold).

use super::layout::{ACPI, BOOT_PARAMS, CMDLINE, CMDLINE_MAX, HIGH_RAM, LOW_RAM_END, MMIO_HOLE_END};
use crate::config::{Initrd, Kernel, KernelFormat};
use crate::memory::GuestRam;
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use linux_loader::loader::{BzImage, Elf, KernelLoader};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryRegion, ReadVolatile};

const E820_RAM: u32 = 1;
const E820_RESERVED: u32 = 2;
/// The kernel has a 64-bit entry point at 0x200.
const XLF_KERNEL_64: u16 = 1;
const ENTRY_64_OFFSET: u64 = 0x200;
/// "Some other boot loader".
const LOADER_UNDEFINED: u8 = 0xff;
/// Highest address for an initramfs where the kernel names none.
const INITRD_MAX_DEFAULT: u64 = 0x37ff_ffff;
const PAGE_MASK: u64 = 0xfff;

/// Why a kernel cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A file cannot be read.
    #[error("{key}: cannot read {}", path.display())]
    Read {
        /// Key of `vm.toml`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the host says.
        #[source]
        source: io::Error,
    },
    /// The kernel cannot be entered in 64-bit mode.
    #[error("kernel: {} has no 64-bit entry point; a kernel for x86-64 is needed", .0.display())]
    Not64Bit(PathBuf),
    /// The kernel does not load.
    #[error("kernel: {} does not load into {ram_mib} MiB of memory", path.display())]
    Load {
        /// The kernel.
        path: PathBuf,
        /// RAM of the guest.
        ram_mib: u64,
        /// What the loader says.
        #[source]
        source: linux_loader::loader::Error,
    },
    /// Kernel and initramfs do not fit.
    #[error("memory: {ram_mib} MiB are too little for this kernel and initrd, which need {need_mib} MiB to start")]
    TooLittleMemory {
        /// RAM of the guest.
        ram_mib: u64,
        /// RAM that both need to start.
        need_mib: u64,
    },
    /// The command line is too long.
    #[error("cmdline: {0} bytes are too long, the kernel takes {max}", max = CMDLINE_MAX - 1)]
    CmdlineTooLong(usize),
    /// Boot structures do not fit into guest memory.
    #[error("memory: too little for the boot structures")]
    Memory(#[from] vm_memory::GuestMemoryError),
}

/// A kernel in guest memory.
struct Loaded {
    entry: GuestAddress,
    /// First byte that neither the kernel nor its unpacking uses.
    end: u64,
    header: setup_header,
}

/// Loads everything a kernel needs and returns its entry point.
///
/// # Errors
/// Where a file cannot be read or does not fit; the message names the key of `vm.toml`.
pub fn load(
    ram: &GuestRam,
    kernel: &Kernel,
    initrd: Option<&Initrd>,
    cmdline: &str,
) -> Result<GuestAddress, BootError> {
    let loaded = load_kernel(ram, kernel)?;
    let mut params = boot_params { hdr: loaded.header, ..boot_params::default() };
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.cmd_line_ptr = low_32(CMDLINE.0);
    params.hdr.cmdline_size = low_32(write_cmdline(ram, cmdline)? as u64);
    params.acpi_rsdp_addr = ACPI.0;
    if let Some(initrd) = initrd {
        let (start, size) = load_initrd(ram, initrd, &loaded)?;
        params.hdr.ramdisk_image = low_32(start);
        params.hdr.ramdisk_size = low_32(size);
    } else {
        check_room(ram, loaded.end)?;
    }
    for (slot, range) in params.e820_table.iter_mut().zip(e820(ram)) {
        *slot = range;
        params.e820_entries += 1;
    }
    ram.write_obj(params, BOOT_PARAMS)?;
    Ok(loaded.entry)
}

fn load_kernel(ram: &GuestRam, kernel: &Kernel) -> Result<Loaded, BootError> {
    let mut file = kernel.file.try_clone().map_err(|source| unreadable("kernel", &kernel.path, source))?;
    let failed = |source| BootError::Load { path: kernel.path.clone(), ram_mib: low_ram_end(ram) >> 20, source };
    match kernel.format {
        KernelFormat::BzImage => {
            let image = BzImage::load(ram, Some(HIGH_RAM), &mut file, Some(HIGH_RAM)).map_err(failed)?;
            let header = image.setup_header.unwrap_or_default();
            let xloadflags = header.xloadflags;
            if xloadflags & XLF_KERNEL_64 == 0 {
                return Err(BootError::Not64Bit(kernel.path.clone()));
            }
            // The kernel unpacks itself at its preferred address and needs `init_size` bytes from there.
            let (preferred, init_size) = (header.pref_address, u64::from(header.init_size));
            let end = image.kernel_end.max(preferred.saturating_add(init_size));
            Ok(Loaded { entry: image.kernel_load.unchecked_add(ENTRY_64_OFFSET), end, header })
        }
        KernelFormat::Elf => {
            let image = Elf::load(ram, None, &mut file, Some(HIGH_RAM)).map_err(failed)?;
            Ok(Loaded { entry: image.kernel_load, end: image.kernel_end, header: setup_header::default() })
        }
    }
}

fn unreadable(key: &'static str, path: &Path, source: io::Error) -> BootError {
    BootError::Read { key, path: path.to_owned(), source }
}

fn check_room(ram: &GuestRam, end: u64) -> Result<(), BootError> {
    let ram_end = low_ram_end(ram);
    if end > ram_end {
        return Err(BootError::TooLittleMemory { ram_mib: ram_end >> 20, need_mib: end.div_ceil(1 << 20) });
    }
    Ok(())
}

fn write_cmdline(ram: &GuestRam, cmdline: &str) -> Result<usize, BootError> {
    let bytes = cmdline.as_bytes();
    if bytes.len() >= CMDLINE_MAX {
        return Err(BootError::CmdlineTooLong(bytes.len()));
    }
    ram.write_slice(bytes, CMDLINE)?;
    ram.write_obj(0u8, CMDLINE.unchecked_add(bytes.len() as u64))?;
    Ok(bytes.len())
}

/// Puts the initramfs as high as the kernel allows, so that it is out of the way of the kernel's unpacking.
fn load_initrd(ram: &GuestRam, initrd: &Initrd, kernel: &Loaded) -> Result<(u64, u64), BootError> {
    let failed = |source| unreadable("initrd", &initrd.path, source);
    let mut file = initrd.file.try_clone().map_err(failed)?;
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let named = u64::from(kernel.header.initrd_addr_max);
    let highest = if named == 0 { INITRD_MAX_DEFAULT } else { named };
    let top = low_ram_end(ram).min(highest.saturating_add(1));
    let start = top.checked_sub(size).map(|start| start & !PAGE_MASK).filter(|start| *start >= kernel.end);
    let (Some(start), Ok(length)) = (start, usize::try_from(size)) else {
        return Err(BootError::TooLittleMemory {
            ram_mib: low_ram_end(ram) >> 20,
            need_mib: kernel.end.saturating_add(size).div_ceil(1 << 20),
        });
    };
    let mut region = ram.get_slice(GuestAddress(start), length)?;
    file.read_exact_volatile(&mut region).map_err(|error| failed(io::Error::other(error)))?;
    Ok((start, size))
}

/// End of the RAM region that starts at 0.
fn low_ram_end(ram: &GuestRam) -> u64 {
    ram.iter().map(|region| region.start_addr().0 + region.len()).next().unwrap_or(0)
}

/// The memory map for the kernel.
fn e820(ram: &GuestRam) -> impl Iterator<Item = boot_e820_entry> {
    let entry = |start: u64, end: u64, kind| boot_e820_entry { addr: start, size: end - start, r#type: kind };
    let low = [
        entry(0, LOW_RAM_END, E820_RAM),
        entry(ACPI.0, HIGH_RAM.0, E820_RESERVED),
        entry(HIGH_RAM.0, low_ram_end(ram).max(HIGH_RAM.0), E820_RAM),
    ];
    let high = ram
        .iter()
        .filter(|region| region.start_addr().0 >= MMIO_HOLE_END)
        .map(move |region| entry(region.start_addr().0, region.start_addr().0 + region.len(), E820_RAM))
        .collect::<Vec<_>>();
    low.into_iter().chain(high)
}

/// Addresses and sizes below 4 GiB, which the callers have made sure of.
#[expect(clippy::cast_possible_truncation, reason = "everything the boot header points at lies below 4 GiB")]
fn low_32(value: u64) -> u32 {
    debug_assert!(value <= u64::from(u32::MAX));
    value as u32
}
