//! The buffers that a driver gave for frames, and how a frame is laid into them.
//!
//! A frame starts at the beginning of a buffer. Where the driver merges buffers it goes on in the next one; where it does
//! not, a frame that is longer than the first buffer fits nowhere.

use std::collections::VecDeque;

use vm_memory::Bytes;

use super::super::ring::Used;
use super::super::{GuestRam, Segments};

/// Most buffers of one frame. The longest needs 44 of those that Linux makes for the standard MTU.
const MERGED_MOST: usize = 64;

/// Buffers that were taken from the ring and hold nothing yet.
#[derive(Debug)]
pub(super) struct Room {
    buffers: VecDeque<Buffer>,
    most: usize,
}

/// A descriptor chain of guest memory.
#[derive(Debug)]
struct Buffer {
    head: u16,
    segments: Segments,
}

/// Where a frame fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// In so many buffers.
    In(usize),
    /// It takes more buffers than there are.
    More,
    /// It does not fit into as many buffers as a frame may have.
    Nowhere,
}

impl Room {
    /// No room yet; for a driver that merges or not, and gives at most `ring_size` buffers at a time.
    pub(super) fn new(merges: bool, ring_size: u16) -> Self {
        let most = if merges { MERGED_MOST.min(usize::from(ring_size)) } else { 1 };
        Self { buffers: VecDeque::with_capacity(most), most }
    }

    /// Adds a buffer, behind the others.
    pub(super) fn add(&mut self, head: u16, segments: Segments) {
        self.buffers.push_back(Buffer { head, segments });
    }

    /// Where a frame of `len` bytes fits.
    pub(super) fn fit(&self, len: usize) -> Fit {
        let mut left = len;
        for (buffer, count) in self.buffers.iter().zip(1..=self.most) {
            // A u32 fits a usize on everything KVM runs on.
            left = left.saturating_sub(usize::try_from(buffer.segments.len()).unwrap_or(usize::MAX));
            if left == 0 {
                return Fit::In(count);
            }
        }
        if self.buffers.len() < self.most { Fit::More } else { Fit::Nowhere }
    }

    /// Lays `frame` into the first `count` buffers, which it [fits into](Fit::In), and gives them up.
    pub(super) fn fill(&mut self, count: usize, frame: &[u8], ram: &GuestRam) -> Vec<Used> {
        let mut left = frame;
        let filled = self.buffers.drain(..count.min(self.buffers.len()));
        filled.map(|buffer| Used { head: buffer.head, written: buffer.fill(&mut left, ram) }).collect()
    }
}

impl Buffer {
    /// Moves the start of `frame` into the buffer, and returns how many bytes.
    fn fill(&self, frame: &mut &[u8], ram: &GuestRam) -> u32 {
        let mut written = 0;
        for segment in self.segments.iter() {
            let len = u32::try_from(frame.len()).unwrap_or(u32::MAX).min(segment.len);
            let (now, later) = frame.split_at(usize::try_from(len).unwrap_or(usize::MAX));
            // The segment is in RAM, which was checked with its chain and does not go away.
            if ram.write_slice(now, segment.address).is_err() {
                break;
            }
            *frame = later;
            written += len;
        }
        written
    }
}

#[cfg(test)]
mod tests;
