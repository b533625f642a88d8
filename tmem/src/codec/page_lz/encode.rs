//! Writes a page as tokens, distances and literals.

use super::search::{PAGE_END, PAGE_START, Padded, Search, Seen};
use super::stream::{Room, Stream};
use super::token::{BESIDE_MAX, Part, beside_part, continued_part, literal_part};
use super::{HEADER_BYTES, PACKED_MAX};

/// The buffers of one thread.
pub(super) struct Encoder {
    seen: Seen,
    tokens: Room,
    distances: Room,
    literals: Room,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { seen: [0; _], tokens: [0; _], distances: [0; _], literals: [0; _] }
    }
}

impl Encoder {
    /// Packs a page to the start of `into`; `None` where it does not fit there or into [`PACKED_MAX`].
    pub(super) fn encode(&mut self, page: &Padded, into: &mut [u8]) -> Option<usize> {
        let mut tokens = Stream::new(&mut self.tokens);
        let mut distances = Stream::new(&mut self.distances);
        let mut literals = Stream::new(&mut self.literals);
        let mut written = PAGE_START;
        for found in Search::new(page, &mut self.seen) {
            literals.push_literals(page, written, found.start);
            let mut beside = found.start - written;
            while beside > BESIDE_MAX {
                beside -= push_part(&mut tokens, literal_part(beside));
            }
            let mut left = found.end - found.start;
            let first = if found.is_new {
                distances.push_distance(found.distance);
                beside_part(beside, left, true)
            } else if beside > 0 {
                beside_part(beside, left, false)
            } else {
                // Tokens of their own took all literals, or there were none.
                continued_part(left)
            };
            left -= push_part(&mut tokens, first);
            while left > 0 {
                left -= push_part(&mut tokens, continued_part(left));
            }
            written = found.end;
        }
        literals.push_literals(page, written, PAGE_END);
        let mut left = PAGE_END - written;
        while left > 0 {
            left -= push_part(&mut tokens, literal_part(left));
        }
        join([tokens.bytes(), distances.bytes(), literals.bytes()], into)
    }
}

/// Appends a token and returns the length that it covers.
#[inline]
fn push_part(tokens: &mut Stream<'_>, part: Part) -> usize {
    tokens.push(part.token);
    usize::from(part.length)
}

/// Puts the streams together.
fn join([tokens, distances, literals]: [&[u8]; 3], into: &mut [u8]) -> Option<usize> {
    let total = HEADER_BYTES + tokens.len() + distances.len() + literals.len();
    if total > PACKED_MAX {
        return None;
    }
    let (header, mut rest) = into.get_mut(..total)?.split_first_chunk_mut::<HEADER_BYTES>()?;
    let [t0, t1] = u16::try_from(tokens.len()).ok()?.to_le_bytes();
    let [d0, d1] = u16::try_from(distances.len()).ok()?.to_le_bytes();
    *header = [t0, t1, d0, d1];
    for stream in [tokens, distances, literals] {
        let (own, behind) = rest.split_at_mut(stream.len());
        own.copy_from_slice(stream);
        rest = behind;
    }
    Some(total)
}
