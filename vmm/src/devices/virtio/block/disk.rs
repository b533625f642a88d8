//! The file or block device behind a disk.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;
use vm_memory::MmapRegion;
use vm_memory::volatile_memory::VolatileMemory;

use super::super::slices::{Direction, Slices};
use super::SECTOR_BYTES;
use super::request::{Extent, Offer};

/// The block size where the host's page cache takes care of alignment.
const BLOCK_BYTES: u32 = 512;

/// Block sizes that O_DIRECT may ask for, smallest first.
const DIRECT_BLOCK_BYTES: [u32; 2] = [512, 4096];

/// Bytes that go through memory of ours at a time, where the guest's is not aligned for O_DIRECT.
const BOUNCE_BYTES: usize = 1024 * 1024;

/// `BLKDISCARD`, `_IO(0x12, 119)` of linux/fs.h.
const BLKDISCARD: libc::Ioctl = 0x1277;

/// Why a file cannot be a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The host cannot say what it is, or read it.
    #[error("the disk cannot be read")]
    Host(#[source] io::Error),
    /// It is a directory, a pipe, …
    #[error("the disk is neither a file nor a block device")]
    NotADisk,
    /// It is smaller than a block.
    #[error("the disk is smaller than one block")]
    Empty,
    /// It cannot be read without the host's page cache.
    #[error("the disk cannot be used with O_DIRECT")]
    NoDirect,
}

/// A disk of a size that does not change.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    kind: Kind,
    offer: Offer,
    direct: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    BlockDevice,
}

/// Page-aligned memory of ours, for O_DIRECT.
#[derive(Debug)]
pub(super) struct Bounce(MmapRegion);

impl Bounce {
    pub(super) fn new() -> io::Result<Self> {
        MmapRegion::new(BOUNCE_BYTES).map(Self).map_err(io::Error::other)
    }

    fn first(&self, len: usize) -> io::Result<Slices<'_>> {
        self.0.get_slice(0, len).map(Slices::one).map_err(io::Error::other)
    }
}

impl Disk {
    /// Makes a disk of `file`, which is open for reading, and for writing unless `read_only`; with O_DIRECT if
    /// `direct`.
    pub(super) fn new(file: File, read_only: bool, direct: bool) -> Result<Self, DiskError> {
        let file_type = file.metadata().map_err(DiskError::Host)?.file_type();
        let kind = match () {
            () if file_type.is_file() => Kind::File,
            () if file_type.is_block_device() => Kind::BlockDevice,
            () => return Err(DiskError::NotADisk),
        };
        // The one way to ask that works for both.
        let bytes = seek(&file, SeekFrom::End(0)).map_err(|error| DiskError::Host(error.into()))?;
        let block_bytes = if direct { direct_block_bytes(&file)? } else { BLOCK_BYTES };
        let sectors = bytes / u64::from(block_bytes) * (u64::from(block_bytes) / SECTOR_BYTES);
        if sectors == 0 {
            return Err(DiskError::Empty);
        }
        if sectors * SECTOR_BYTES != bytes {
            tracing::warn!(bytes, block_bytes, "the last block of a disk is incomplete and not visible to the guest");
        }
        let discard = !read_only && can_discard(&file, kind, bytes);
        // A block device's driver, or the kernel in its place, can always write zeroes.
        let write_zeroes = discard || (!read_only && kind == Kind::BlockDevice);
        let offer = Offer { sectors, block_bytes, read_only, discard, write_zeroes };
        Ok(Self { file, kind, offer, direct })
    }

    /// What the driver may ask for.
    pub(super) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Reads or writes; `bounce` is needed for a disk that [is direct](Self::is_direct).
    pub(super) fn transfer(
        &self,
        direction: Direction,
        at: Extent,
        mut memory: Slices<'_>,
        bounce: Option<&Bounce>,
    ) -> io::Result<()> {
        // A u32 fits a usize on everything KVM runs on.
        let alignment = usize::try_from(self.offer.block_bytes).unwrap_or(usize::MAX);
        let Some(bounce) = bounce.filter(|_| !memory.are_aligned(alignment)) else {
            return memory.transfer(direction, &self.file, at.offset);
        };
        let mut offset = at.offset;
        while memory.len() > 0 {
            let part = memory.take_front(BOUNCE_BYTES);
            let len = part.len();
            match direction {
                Direction::FromFile => {
                    bounce.first(len)?.transfer(direction, &self.file, offset)?;
                    bounce.first(len)?.copy_to(part);
                }
                Direction::ToFile => {
                    part.copy_to(bounce.first(len)?);
                    bounce.first(len)?.transfer(direction, &self.file, offset)?;
                }
            }
            offset = offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Whether the host's page cache is left out.
    pub(super) fn is_direct(&self) -> bool {
        self.direct
    }

    /// Everything written so far is on stable storage afterwards.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The range's content is not needed any more.
    pub(super) fn discard(&self, range: Extent) -> io::Result<()> {
        match self.kind {
            Kind::File => Ok(fallocate(&self.file, PUNCH_HOLE, range.offset, range.len)?),
            Kind::BlockDevice => block_device_discard(&self.file, range),
        }
    }

    /// The range reads as zeroes afterwards. `unmap`: and should not take up space.
    pub(super) fn write_zeroes(&self, range: Extent, unmap: bool) -> io::Result<()> {
        // What one file system lacks the other has; zeroes are promised, space is only wished for.
        let (wanted, other) = if unmap { (PUNCH_HOLE, ZERO_RANGE) } else { (ZERO_RANGE, PUNCH_HOLE) };
        match fallocate(&self.file, wanted, range.offset, range.len) {
            Err(Errno::OPNOTSUPP) => Ok(fallocate(&self.file, other, range.offset, range.len)?),
            result => Ok(result?),
        }
    }
}

const PUNCH_HOLE: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);
const ZERO_RANGE: FallocateFlags = FallocateFlags::ZERO_RANGE.union(FallocateFlags::KEEP_SIZE);

/// The smallest block the kernel reads with O_DIRECT, found by reading one: before Linux 6.1 there is nobody to ask.
fn direct_block_bytes(file: &File) -> Result<u32, DiskError> {
    let bounce = Bounce::new().map_err(DiskError::Host)?;
    for block in DIRECT_BLOCK_BYTES {
        let memory = bounce.first(usize::try_from(block).unwrap_or(usize::MAX)).map_err(DiskError::Host)?;
        match memory.transfer(Direction::FromFile, file, u64::from(block)) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            // The disk may end here; that the alignment was fine is what we wanted to know.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(DiskError::Host(error)),
            _ => return Ok(block),
        }
    }
    Err(DiskError::NoDirect)
}

/// Whether the disk can discard, found out without discarding anything.
fn can_discard(file: &File, kind: Kind, bytes: u64) -> bool {
    match kind {
        // Behind the end of the file there is nothing to lose, and a file system that cannot says so all the same.
        Kind::File => fallocate(file, PUNCH_HOLE, bytes.next_multiple_of(4096), 4096).is_ok(),
        // The kernel looks at the device before it looks at the range, which is not one that could be discarded.
        Kind::BlockDevice => {
            let nonsense = Extent { offset: 1, len: 1 };
            block_device_discard(file, nonsense).is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL))
        }
    }
}

fn block_device_discard(file: &File, range: Extent) -> io::Result<()> {
    let argument = [range.offset, range.len];
    // SAFETY: BLKDISCARD reads two u64 at the argument, which lives until the call returns, and writes nothing.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), BLKDISCARD, argument.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
