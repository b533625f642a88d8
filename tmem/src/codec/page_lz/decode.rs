//! Executes the tokens.
//!
//! Copies are of fixed sizes and go beyond what a token asks for; the next one writes over that. What makes it safe is
//! the size of the buffers: no token moves far enough to leave them, whatever the bytes say, and after each token the
//! one position that others follow is checked.

use crate::key::{PAGE_SIZE, Page};

use super::token::{LITERALS_MAX, MATCH_MAX, Meaning};
use super::{FIRST_DISTANCE, HEADER_BYTES, NEAR, PACKED_MAX};

/// Zeros in front of the page, as far as any distance reaches (twelve bits).
const FRONT: usize = PAGE_SIZE;
/// Literals copied at least.
const LITERALS_STEP: usize = 16;
/// Bytes of a match copied at least, in words.
const MATCH_STEP: usize = 24;
/// A page, and behind its last byte what one token can write.
const OUT_BYTES: usize = FRONT + PAGE_SIZE + LITERALS_MAX + MATCH_MAX + MATCH_STEP + 8;
/// Packed bytes, and as far behind their end as the reading can get: two distance bytes a token, and a page and one
/// token of literals.
const IN_BYTES: usize = PACKED_MAX + 2 * PACKED_MAX + PAGE_SIZE + LITERALS_MAX + LITERALS_STEP + 2;

/// The buffers of one thread. They hold what earlier pages left: bytes that are read before they are written belong to
/// nobody else.
pub(super) struct Decoder {
    packed: [u8; IN_BYTES],
    out: [u8; OUT_BYTES],
}

impl Default for Decoder {
    fn default() -> Self {
        Self { packed: [0; IN_BYTES], out: [0; OUT_BYTES] }
    }
}

impl Decoder {
    /// Makes a page of what the encoder wrote; `None` where it did not write this.
    pub(super) fn decode(&mut self, packed: &[u8]) -> Option<&Page> {
        let len = packed.len();
        let (header, _) = packed.split_first_chunk::<HEADER_BYTES>()?;
        if len > PACKED_MAX {
            return None;
        }
        self.packed[..len].copy_from_slice(packed);
        let tokens_end = HEADER_BYTES + usize::from(u16::from_le_bytes([header[0], header[1]]));
        let distances_end = tokens_end + usize::from(u16::from_le_bytes([header[2], header[3]]));
        if distances_end > len {
            return None;
        }
        let tokens = &self.packed[HEADER_BYTES..tokens_end];
        let (mut distances, mut literals) = (tokens_end, distances_end);
        let (mut at, end) = (FRONT, FRONT + PAGE_SIZE);
        let mut distance = FIRST_DISTANCE;
        let (input, out) = (self.packed.as_ptr(), self.out.as_mut_ptr());
        for token in tokens {
            let meaning = Meaning::of(*token);
            // SAFETY: `distances` began within `PACKED_MAX` and moved on by two at most for each token before, of which
            // there are fewer than `PACKED_MAX`: so two bytes from it on are inside `packed`.
            let code = usize::from(u16::from_le(unsafe { input.add(distances).cast::<u16>().read_unaligned() }));
            let far = usize::from(code & 255 >= usize::from(NEAR));
            let new = std::hint::select_unpredictable(far == 1, (code & 15) << 8 | code >> 8, (code & 255) * 8 + 8);
            distance = std::hint::select_unpredictable(meaning.new_distance() == 1, new, distance);
            distances += meaning.new_distance() * (1 + far);

            let (count, length) = (meaning.literals(), meaning.length());
            // SAFETY: `at` is at most `end` here. `literals` began within `PACKED_MAX` and moved on by no more than `at`
            // has, a page. From both `LITERALS_MAX + LITERALS_STEP` bytes are inside their buffers, which are apart.
            unsafe {
                input.add(literals).copy_to_nonoverlapping(out.add(at), LITERALS_STEP);
                if count > LITERALS_STEP {
                    input.add(literals).copy_to_nonoverlapping(out.add(at), count);
                }
            }
            literals += count;
            at += count;
            // SAFETY: `at` is at most `end + LITERALS_MAX` now, and behind that are `MATCH_MAX + MATCH_STEP + 8` bytes
            // more: the last word begins before `length` or `MATCH_STEP`. `distance` has twelve bits, so the source begins
            // inside `out` too, and ends no later than the copy does. Each word is loaded whole before it is stored.
            unsafe {
                let (from, to) = (out.add(at - distance), out.add(at));
                copy_word(from, to, 0);
                copy_word(from, to, 8);
                copy_word(from, to, 16);
                let mut offset = MATCH_STEP;
                while offset < length {
                    copy_word(from, to, offset);
                    offset += 8;
                }
            }
            at += length;
            if at > end {
                return None;
            }
        }
        if at != end || distances != distances_end || literals != len {
            return None;
        }
        self.out[FRONT..FRONT + PAGE_SIZE].first_chunk()
    }
}

/// Copies eight bytes, through a register.
///
/// # Safety
/// Eight bytes at `offset` from both can be read, and those from `to` written.
#[inline]
unsafe fn copy_word(from: *const u8, to: *mut u8, offset: usize) {
    // SAFETY: the caller's promise.
    unsafe { to.add(offset).cast::<u64>().write_unaligned(from.add(offset).cast::<u64>().read_unaligned()) };
}
