//! One of the three streams, while it is made.

use crate::key::PAGE_SIZE;

use super::super::padded::MARGIN;
use super::NEAR;
use super::search::Padded;

/// Room for the literals of a page and a step more; tokens and distances are fewer.
const STREAM_BYTES: usize = PAGE_SIZE + MARGIN;

/// The buffer of a stream.
pub(super) type Room = [u8; STREAM_BYTES];

/// Its length is not where its bytes are, so that it stays in a register while they are written.
pub(super) struct Stream<'a> {
    room: &'a mut Room,
    len: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(room: &'a mut Room) -> Self {
        Self { room, len: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        self.room[self.len] = byte;
        self.len += 1;
    }

    /// Appends a distance. Both bytes are always written and then counted: whether there are two or one is chance to a
    /// branch predictor.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a distance has 12 bits")]
    pub(super) fn push_distance(&mut self, distance: usize) {
        let distance = distance as u16;
        // The low three bits become the highest, which makes what is no multiple of eight too large.
        let steps = (distance - 8).rotate_right(3);
        let is_near = steps < NEAR;
        let code = std::hint::select_unpredictable(is_near, steps, NEAR | distance.swap_bytes());
        self.room[self.len..self.len + 2].copy_from_slice(&code.to_le_bytes());
        self.len += 2 - usize::from(is_near);
    }

    /// Appends bytes of the page. Most runs are short, and a copy of a fixed size is two instructions; what it takes too
    /// much is behind the page, or written over by the next.
    #[inline]
    pub(super) fn push_literals(&mut self, page: &Padded, from: usize, to: usize) {
        let mut copied = 0;
        loop {
            let (own, other) = (self.len + copied, from + copied);
            self.room[own..own + MARGIN].copy_from_slice(&page[other..other + MARGIN]);
            copied += MARGIN;
            if copied >= to - from {
                break;
            }
        }
        self.len += to - from;
    }
}
