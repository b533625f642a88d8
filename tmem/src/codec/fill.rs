//! Pages that are one 64-bit word over and over: zeroed memory, poison, freshly initialised tables.

use crate::key::{PAGE_SIZE, Page};

const WORD_BYTES: usize = size_of::<u64>();

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// The word that `page` repeats, if it does. Most pages are told by their first line; of the others one comparison of the
/// page with itself, a line further on, says it for all words (a word further on half the loads would cross lines).
pub(super) fn repeated_word(page: &Page) -> Option<u64> {
    let (words, _) = page[..LINE_BYTES].as_chunks::<WORD_BYTES>();
    let repeats = words.iter().all(|word| *word == words[0]) && page[LINE_BYTES..] == page[..PAGE_SIZE - LINE_BYTES];
    repeats.then(|| u64::from_le_bytes(words[0]))
}

/// Fills `page` with `word`.
pub(super) fn fill(word: u64, page: &mut Page) {
    page.as_chunks_mut::<WORD_BYTES>().0.fill(word.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_differing_byte_anywhere_is_seen() {
        let mut page = [0; PAGE_SIZE];
        fill(0x0123_4567_89ab_cdef, &mut page);
        assert_eq!(repeated_word(&page), Some(0x0123_4567_89ab_cdef));
        for at in 0..PAGE_SIZE {
            page[at] ^= 1;
            assert_eq!(repeated_word(&page), None, "byte {at}");
            page[at] ^= 1;
        }
    }
}
