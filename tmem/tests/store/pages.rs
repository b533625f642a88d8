//! Pages as guests have them, made from a number.

use tmem::{PAGE_SIZE, Page};

/// A sequence of numbers without pattern (splitmix64, Steele et al. 2014).
pub struct Noise(pub u64);

impl Iterator for Noise {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(z ^ z >> 31)
    }
}

/// A page of 512 words.
fn of_words(words: impl Iterator<Item = u64>) -> Page {
    let mut page = [0; PAGE_SIZE];
    for (bytes, word) in page.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    page
}

/// One word, repeated.
pub fn same_filled(word: u64) -> Page {
    of_words(std::iter::repeat(word))
}

/// A page that no codec shrinks.
pub fn random(seed: u64) -> Page {
    of_words(Noise(seed))
}

/// Words of a small vocabulary: shrinks to about a third.
pub fn text(seed: u64) -> Page {
    const WORDS: [&str; 16] = [
        "page ", "the ", "guest ", "memory ", "of ", "a ", "swap ", "host ", "cache ", "and ", "is ", "kept ",
        "until ", "flush ", "pool ", "key.\n",
    ];
    let mut bytes = Noise(seed).flat_map(|n| WORDS[(n % 16) as usize].bytes());
    std::array::from_fn(|_| bytes.next().unwrap_or_default())
}

/// Pointers into one region: shrinks to about a half.
pub fn pointers(seed: u64) -> Page {
    of_words(Noise(seed).map(|n| 0x0000_7f3a_4000_0000 | (n & 0xff_fff8)))
}

/// Almost nothing: shrinks to a few bytes.
pub fn sparse(seed: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    page[(seed % 4000) as usize..][..8].copy_from_slice(&(seed | 1).to_le_bytes());
    page
}

/// A page of a kind that depends on `seed`, different for each seed.
pub fn mixed(seed: u64) -> Page {
    match seed % 7 {
        0 => same_filled(seed / 7),
        1 => same_filled(seed.wrapping_mul(0x0101_0101_0101_0101) | 1 << 63),
        2 => random(seed),
        3 => pointers(seed),
        4 => sparse(seed),
        _ => text(seed),
    }
}
