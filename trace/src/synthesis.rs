//! Pages made of what a trace says about them.

use tmem::{CodecChoice, Form, PAGE_SIZE, Page};

use crate::content::Content;

/// How often the amount of noise is corrected.
const STEPS: usize = 8;

/// Makes pages: equal for equal contents, different for different ones, and packed by a codec into the recorded bytes or
/// very nearly so.
///
/// A compressed page is zeros followed by noise, as much of it as it takes: behind the zeros no codec skips a byte in
/// search of a match. So a second codec finds no more in it
/// than the first: what recompression saves cannot be replayed.
#[derive(Clone, Copy, Debug)]
pub struct Synthesis {
    codec: CodecChoice,
}

impl Synthesis {
    /// Pages for a trace that was recorded with `codec`.
    #[must_use]
    pub fn new(codec: CodecChoice) -> Self {
        Self { codec }
    }

    /// The page for `content`.
    #[must_use]
    pub fn page(&self, content: &Content) -> Page {
        let Content { hash, form } = *content;
        match form {
            // The store keeps a word of 58 bits, its sign included, in the index.
            Form::SameFilled => repeated(hash >> 7),
            Form::SameFilledWide => repeated(hash >> 2 | 1 << 62),
            Form::Raw => noise(hash, PAGE_SIZE),
            Form::Compressed { bytes } => self.compressed(hash, bytes),
        }
    }

    fn compressed(&self, hash: u64, bytes: u16) -> Page {
        let target = usize::from(bytes);
        let mut len = target;
        let mut nearest = (usize::MAX, [0; PAGE_SIZE]);
        for _ in 0..STEPS {
            let page = noise(hash, len);
            let size = match Form::of(&page, self.codec) {
                Form::Compressed { bytes } => usize::from(bytes),
                Form::SameFilled | Form::SameFilledWide => 0,
                Form::Raw => PAGE_SIZE,
            };
            let distance = size.abs_diff(target);
            if distance == 0 {
                return page;
            }
            // By what is missing; by a byte where that led no nearer, for sizes jump where the zeros need a token more.
            let step = if distance < nearest.0 { distance } else { 1 };
            if distance < nearest.0 {
                nearest = (distance, page);
            }
            len = if size < target { len + step } else { len.saturating_sub(step) }.clamp(1, PAGE_SIZE);
        }
        nearest.1
    }
}

fn repeated(word: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    page.as_chunks_mut().0.fill(word.to_le_bytes());
    page
}

/// Zeros, then `len` bytes that do not compress.
fn noise(seed: u64, len: usize) -> Page {
    let mut page = [0; PAGE_SIZE];
    let mut state = seed;
    for chunk in page[PAGE_SIZE - len..].chunks_mut(8) {
        let word = next(&mut state).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    page
}

/// `SplitMix64`, by Steele, Lea and Flood.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(codec: CodecChoice, hash: u64, form: Form) -> Form {
        Form::of(&Synthesis::new(codec).page(&Content { hash, form }), codec)
    }

    #[test]
    fn a_page_takes_the_room_that_was_recorded() {
        for codec in [CodecChoice::Lz4, CodecChoice::PageLz, CodecChoice::Zstd] {
            for form in [Form::SameFilled, Form::SameFilledWide, Form::Raw] {
                assert_eq!(packed(codec, u64::MAX, form), form);
                assert_eq!(packed(codec, 0, form), form);
            }
            for bytes in (40..3800).step_by(97) {
                let Form::Compressed { bytes: made } = packed(codec, u64::from(bytes), Form::Compressed { bytes })
                else {
                    panic!("{codec:?}: a page of {bytes} bytes is not compressed")
                };
                assert!(made.abs_diff(bytes) <= 2, "{codec:?}: {made} bytes for {bytes}");
            }
        }
    }

    #[test]
    fn equal_contents_make_equal_pages_and_no_others() {
        let page =
            |hash| Synthesis::new(CodecChoice::PageLz).page(&Content { hash, form: Form::Compressed { bytes: 99 } });
        assert_eq!(page(1), page(1));
        assert_ne!(page(1), page(2));
    }
}
