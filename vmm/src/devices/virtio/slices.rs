//! Vectored I/O between a file and pieces of volatile memory.
//!
//! The guest may change its memory while the kernel copies to or from it, so there is never a Rust reference to it:
//! only pointers, handed to `preadv`, `pwritev` and `writev`.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use vm_memory::volatile_memory::PtrGuardMut;
use vm_memory::{GuestMemoryBackend, GuestMemoryError, VolatileSlice};

use super::{GuestRam, Segments};

/// Linux's `IOV_MAX`: more pieces than this take more than one call.
const MAX_PIECES: usize = 1024;

/// Pieces of memory that are read or written as one, and the number of bytes in them.
#[derive(Debug)]
pub(super) struct Slices<'m> {
    pieces: VecDeque<VolatileSlice<'m>>,
    len: usize,
}

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    FromFile,
    ToFile,
}

impl<'m> Slices<'m> {
    /// The guest's memory behind `segments`.
    pub(super) fn of(ram: &'m GuestRam, segments: &Segments) -> Result<Self, GuestMemoryError> {
        let mut slices = Self { pieces: VecDeque::new(), len: 0 };
        for segment in segments.iter() {
            // A u32 fits a usize on everything KVM runs on.
            let len = usize::try_from(segment.len).unwrap_or(usize::MAX);
            for piece in ram.get_slices(segment.address, len) {
                slices.push(piece?);
            }
        }
        Ok(slices)
    }

    /// One piece.
    pub(super) fn one(piece: VolatileSlice<'m>) -> Self {
        Self { len: piece.len(), pieces: VecDeque::from([piece]) }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether every piece starts and ends at a multiple of `alignment` in our address space.
    pub(super) fn are_aligned(&self, alignment: usize) -> bool {
        self.pieces.iter().all(|piece| {
            piece.ptr_guard().as_ptr().addr().is_multiple_of(alignment) && piece.len().is_multiple_of(alignment)
        })
    }

    /// Moves all of these bytes from or to `file` at `offset`.
    ///
    /// # Errors
    /// The kernel's; `UnexpectedEof` or `WriteZero` where it stops short of the end.
    pub(super) fn transfer(mut self, direction: Direction, file: &File, mut offset: u64) -> io::Result<()> {
        while self.len > 0 {
            let moved = match self.transfer_some(direction, file, offset) {
                Ok(0) if direction == Direction::FromFile => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(moved) => moved,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.take_front(moved);
            offset = offset.saturating_add(u64::try_from(moved).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    fn transfer_some(&self, direction: Direction, file: &File, offset: u64) -> io::Result<usize> {
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let guards = self.guards();
        let vector = vector(&guards);
        // MAX_PIECES fits.
        let count = libc::c_int::try_from(vector.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: each entry is a mapping that lives at least as long as its guard, is valid for reads and writes of
        // its length, and is not borrowed as a Rust reference by anybody. The vector has `count` entries.
        let moved = unsafe {
            match direction {
                Direction::FromFile => libc::preadv(file.as_raw_fd(), vector.as_ptr(), count, offset),
                Direction::ToFile => libc::pwritev(file.as_raw_fd(), vector.as_ptr(), count, offset),
            }
        };
        usize::try_from(moved).map_err(|_| io::Error::last_os_error())
    }

    /// Writes all of these bytes to `file` in one call, as what keeps messages apart wants it, and returns how many it
    /// took. What has more than [`MAX_PIECES`] pieces is cut off there.
    pub(super) fn write_once(&self, file: &File) -> io::Result<usize> {
        let guards = self.guards();
        let vector = vector(&guards);
        // MAX_PIECES fits.
        let count = libc::c_int::try_from(vector.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: each entry is a mapping that lives at least as long as its guard and is valid for reads of its
        // length. The vector has `count` entries.
        let written = unsafe { libc::writev(file.as_raw_fd(), vector.as_ptr(), count) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }

    fn guards(&self) -> Vec<PtrGuardMut> {
        self.pieces.iter().take(MAX_PIECES).map(VolatileSlice::ptr_guard_mut).collect()
    }

    /// Copies bytes to `to`, as many as the shorter of the two has.
    pub(super) fn copy_to(mut self, mut to: Self) {
        while let (Some(source), Some(target)) = (self.pieces.front(), to.pieces.front()) {
            let count = source.len().min(target.len());
            source.copy_to_volatile_slice(*target);
            self.take_front(count);
            to.take_front(count);
        }
    }

    /// Cuts the first `count` bytes off.
    pub(super) fn take_front(&mut self, count: usize) -> Self {
        let mut front = Self { pieces: VecDeque::new(), len: 0 };
        while let Some(missing) = count.checked_sub(front.len).filter(|missing| *missing > 0) {
            let Some(piece) = self.pieces.pop_front() else { break };
            self.len -= piece.len();
            match piece.split_at(missing) {
                Ok((now, later)) if !later.is_empty() => {
                    front.push(now);
                    self.len += later.len();
                    self.pieces.push_front(later);
                }
                // The piece is no longer than what is missing.
                _ => front.push(piece),
            }
        }
        front
    }

    fn push(&mut self, piece: VolatileSlice<'m>) {
        self.len += piece.len();
        self.pieces.push_back(piece);
    }
}

/// What the kernel wants to see of guarded memory.
fn vector(guards: &[PtrGuardMut]) -> Vec<libc::iovec> {
    guards.iter().map(|guard| libc::iovec { iov_base: guard.as_ptr().cast(), iov_len: guard.len() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Cuts `bytes` into pieces of these lengths.
    fn pieces<'m>(mut bytes: &'m mut [u8], lengths: &[usize]) -> Slices<'m> {
        let mut slices = Slices { pieces: VecDeque::new(), len: 0 };
        for len in lengths {
            let (piece, rest) = bytes.split_at_mut(*len);
            bytes = rest;
            slices.push(VolatileSlice::from(piece));
        }
        slices
    }

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn pieces_are_filled_in_order() {
        let mut memory = [0; 9];
        pieces(&mut memory, &[1, 5, 3]).transfer(Direction::FromFile, &file(b"..123456789"), 2).unwrap();
        assert_eq!(&memory, b"123456789");
    }

    #[test]
    fn more_pieces_than_one_call_takes_are_moved() {
        let content: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let mut memory = vec![0; 3000];
        pieces(&mut memory, &[1; 3000]).transfer(Direction::FromFile, &file(&content), 0).unwrap();
        assert_eq!(memory, content);
    }

    #[test]
    fn pieces_are_written_as_one_message() {
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(ours));
        assert_eq!(pieces(&mut *b"abcdef".to_owned().as_mut_slice(), &[1, 3, 2]).write_once(&file).unwrap(), 6);
        let mut message = [0; 9];
        assert_eq!(theirs.recv(&mut message).unwrap(), 6);
        assert_eq!(&message[..6], b"abcdef");
    }

    #[test]
    fn a_read_past_the_end_of_the_file_is_an_error() {
        let mut memory = [0; 4];
        let error = pieces(&mut memory, &[4]).transfer(Direction::FromFile, &file(b"123"), 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_front_can_be_cut_off_inside_of_a_piece() {
        let mut memory = *b"abcdefgh";
        let mut slices = pieces(&mut memory, &[3, 5]);
        let front = slices.take_front(4);
        assert_eq!((front.len(), slices.len()), (4, 4));
        let mut copy = [0; 4];
        front.copy_to(pieces(&mut copy, &[2, 2]));
        assert_eq!(&copy, b"abcd");
        assert_eq!(slices.take_front(100).len(), 4);
        assert_eq!(slices.len(), 0);
    }

    #[test]
    fn copying_stops_at_the_shorter_side() {
        let (mut from, mut to) = (*b"abcd", [0; 6]);
        pieces(&mut from, &[4]).copy_to(pieces(&mut to, &[1, 5]));
        assert_eq!(&to, b"abcd\0\0");
    }
}
