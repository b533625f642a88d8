//! Disks: opened and locked, so that no two writers meet in one image.
//!
//! The lock is flock(2): shared for a read-only disk, exclusive for one that is written. It belongs to the open file
//! and ends with it, however the process ends. A block device that is written is opened with `O_EXCL` besides, which
//! the kernel refuses while it is mounted (open(2)).

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::document::{ConfigFile, DiskTable};
use super::error::{ConfigError, Problem};
use super::image::{file_type, type_name};
use super::setting::Setting;
use super::text::printable;

/// Size of a sector in bytes, as virtio-blk counts capacity (virtio 1.2, 5.2).
const SECTOR_BYTES: u64 = 512;

/// Longest id in bytes: what virtio-blk's `GET_ID` has room for (virtio 1.2, 5.2.6).
pub const DISK_ID_MAX_BYTES: usize = 20;

/// Most disks of a VM: each takes an interrupt line of the one I/O APIC.
pub const DISKS_MAX: usize = 8;

/// A disk, open and locked for as long as `file` lives.
#[derive(Debug)]
pub struct Disk {
    /// Where it was found.
    pub path: PathBuf,
    /// The regular file or block device.
    pub file: File,
    /// Its size in bytes, a multiple of 512.
    pub size_bytes: u64,
    /// Whether the guest may only read; the file is then not open for writing either.
    pub read_only: bool,
    /// Whether the file was opened with `O_DIRECT`: offsets, lengths and buffers must be aligned.
    pub direct: bool,
    /// What the guest sees as the disk's serial number (`/dev/disk/by-id/virtio-ID`): printable ASCII, at most
    /// [`DISK_ID_MAX_BYTES`] bytes.
    pub id: Option<String>,
}

/// Opens the disks in their order.
pub(super) fn open_all(file: &ConfigFile, tables: Vec<DiskTable>) -> Result<Vec<Disk>, ConfigError> {
    let mut disks: Vec<Disk> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let path = Setting::path_of_key(file, "disk.path", table.path);
        if index >= DISKS_MAX {
            return Err(path.fail(Problem::TooManyDisks(index + 1)));
        }
        let id = match table.id {
            Some(id) => Some(printable(Setting::of_key(file, "disk.id", id), DISK_ID_MAX_BYTES, "1 to 20 characters")?),
            None => None,
        };
        let disk = Disk { id, ..open(&path, table.read_only, table.direct)? };
        lock(&path, &disk, &disks)?;
        disks.push(disk);
    }
    Ok(disks)
}

fn open(path: &Setting<PathBuf>, read_only: bool, direct: bool) -> Result<Disk, ConfigError> {
    let file_type = file_type(path)?;
    if !file_type.is_file() && !file_type.is_block_device() {
        let wanted = "a regular file or a block device";
        return Err(path.fail(Problem::WrongType { path: path.value.clone(), found: type_name(file_type), wanted }));
    }

    let mut flags = OFlags::empty();
    flags.set(OFlags::DIRECT, direct);
    flags.set(OFlags::EXCL, file_type.is_block_device() && !read_only);
    let mut file = OpenOptions::new()
        .read(true)
        .write(!read_only)
        .custom_flags(flags.bits().cast_signed())
        .open(&path.value)
        .map_err(|error| path.fail(open_problem(&path.value, read_only, direct, error)))?;

    // Seeking to the end is the one way that works for both a file and a block device.
    let size_bytes = file
        .seek(SeekFrom::End(0))
        .and_then(|size| file.rewind().map(|()| size))
        .map_err(|source| path.fail(Problem::Read { path: path.value.clone(), source }))?;
    if size_bytes == 0 || !size_bytes.is_multiple_of(SECTOR_BYTES) {
        return Err(path.fail(Problem::DiskSize { path: path.value.clone(), size_bytes }));
    }
    Ok(Disk { path: path.value.clone(), file, size_bytes, read_only, direct, id: None })
}

fn open_problem(path: &std::path::Path, read_only: bool, direct: bool, source: io::Error) -> Problem {
    let path = path.to_owned();
    match Errno::from_io_error(&source) {
        Some(Errno::BUSY | Errno::TXTBSY) => Problem::Busy(path),
        Some(Errno::INVAL) if direct => Problem::NoDirect(path),
        Some(Errno::ACCESS | Errno::ROFS | Errno::PERM) if !read_only => {
            Problem::Open { path, purpose: "reading and writing", hint: "; `read_only = true` needs less", source }
        }
        _ if read_only => Problem::Open { path, purpose: "reading", hint: "", source },
        _ => Problem::Open { path, purpose: "reading and writing", hint: "", source },
    }
}

/// Takes the lock. Where that fails because of an earlier disk of the same VM, that is what the error says.
fn lock(path: &Setting<PathBuf>, disk: &Disk, earlier: &[Disk]) -> Result<(), ConfigError> {
    let operation =
        if disk.read_only { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    match flock(&disk.file, operation) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) if earlier.iter().any(|other| same_file(&other.file, &disk.file)) => {
            Err(path.fail(Problem::DiskTwice(path.value.clone())))
        }
        Err(Errno::WOULDBLOCK) => Err(path.fail(Problem::Busy(path.value.clone()))),
        Err(error) => Err(path.fail(Problem::Read { path: path.value.clone(), source: error.into() })),
    }
}

fn same_file(a: &File, b: &File) -> bool {
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
