//! What a page holds: a function of seed, page number and version, so that any page can be checked at any time
//! without keeping a copy.
//!
//! ```text
//! byte 0        8         16                    16 + entropy % of the rest          4096
//!      │ source │ version │ incompressible words │ one word, over and over, or records  │
//! ```
//!
//! Of records (`records.rs`) an entropy coder makes less than a matcher of bytes, as of the heaps of real programs.
//!
//! The *source* is the page's number, or for a duplicate page the number of the class it shares its content with.
//! It is written into the page so that a wrong page can be told from a stale or a torn one.

use crate::records;

/// Bytes in a page.
pub const PAGE_BYTES: usize = 4096;
const WORD_BYTES: usize = 8;
const WORDS: usize = PAGE_BYTES / WORD_BYTES;
const HEADER_WORDS: usize = 2;
/// How many different contents duplicate pages have (at one version).
const CLASSES: u64 = 16;
/// Marks a source as a class: no page has such a number.
const CLASS_BIT: u64 = 1 << 63;

/// Content of one page.
pub type Page = [u8; PAGE_BYTES];

/// The pattern of a run.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    /// Different seeds share no content.
    pub seed: u64,
    /// Percent of a page's bytes that do not compress.
    pub entropy: u8,
    /// What the rest of them is.
    pub rest: Rest,
    /// Percent of pages that share their content with others of the same version.
    pub duplicates: u8,
}

/// The part of a page that compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Rest {
    /// One word over and over
    Word,
    /// Records of pointers, small numbers and words of text, as in heaps
    Records,
}

/// What was found in a page instead of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// Nothing but zeros.
    Zeros,
    /// What the page itself held at another version.
    Stale(u8),
    /// What another page, or another class of duplicates, holds.
    Foreign(u64),
    /// Its own content with this many wrong bytes, from this offset on.
    Torn { first: usize, bytes: usize },
}

impl Pattern {
    /// Writes what page `number` holds at `version`.
    pub fn fill(&self, number: u64, version: u8, page: &mut Page) {
        let source = self.source(number);
        let key = mix(self.seed ^ mix(source ^ mix(u64::from(version))));
        let random_end = HEADER_WORDS + (WORDS - HEADER_WORDS) * usize::from(self.entropy) / 100;
        let (words, _) = page.as_chunks_mut::<WORD_BYTES>();
        words[0] = source.to_le_bytes();
        words[1] = u64::from(version).to_le_bytes();
        let (noise, rest) = words[HEADER_WORDS..].split_at_mut(random_end - HEADER_WORDS);
        let mut counter = key;
        for word in noise {
            *word = next(&mut counter).to_le_bytes();
        }
        match self.rest {
            Rest::Word => rest.fill(key.to_le_bytes()),
            Rest::Records => {
                for record in rest.chunks_mut(records::WORDS) {
                    records::fill(next(&mut counter), record);
                }
            }
        }
    }

    /// Checks that `page` holds what page `number` holds at `version`.
    ///
    /// # Errors
    /// What it holds instead.
    pub fn check(&self, number: u64, version: u8, page: &Page) -> Result<(), Damage> {
        let mut expected = [0; PAGE_BYTES];
        self.fill(number, version, &mut expected);
        if *page == expected {
            return Ok(());
        }
        Err(self.damage(number, page, &expected))
    }

    fn damage(&self, number: u64, page: &Page, expected: &Page) -> Damage {
        if page.iter().all(|byte| *byte == 0) {
            return Damage::Zeros;
        }
        let mut other = [0; PAGE_BYTES];
        let stale = (0..=u8::MAX).find(|version| {
            self.fill(number, *version, &mut other);
            other == *page
        });
        if let Some(version) = stale {
            return Damage::Stale(version);
        }
        let (words, _) = page.as_chunks::<WORD_BYTES>();
        let source = u64::from_le_bytes(words[0]);
        if source != self.source(number) {
            return Damage::Foreign(source);
        }
        let mut wrong = page.iter().zip(expected).enumerate().filter(|(_, (found, wanted))| found != wanted);
        let first = wrong.next().map_or(0, |(offset, _)| offset);
        Damage::Torn { first, bytes: 1 + wrong.count() }
    }

    fn source(&self, number: u64) -> u64 {
        let chance = mix(self.seed ^ mix(number ^ CLASS_BIT));
        if chance % 100 < u64::from(self.duplicates) { CLASS_BIT | (chance / 100 % CLASSES) } else { number }
    }

    /// A digest of the bytes of page `number`, whatever they are.
    pub fn digest(number: u64, page: &Page) -> u64 {
        let (words, _) = page.as_chunks::<WORD_BYTES>();
        words.iter().fold(mix(number), |digest, word| mix(digest ^ u64::from_le_bytes(*word)))
    }

    /// Whether page `number` is rewritten in `pass`, where `percent` of all pages are.
    pub fn rewritten(&self, number: u64, pass: u32, percent: u8) -> bool {
        mix(self.seed ^ mix(number) ^ mix(!u64::from(pass))) % 100 < u64::from(percent)
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Zeros => write!(f, "zeros"),
            Self::Stale(version) => write!(f, "its own version {version}"),
            Self::Foreign(source) if source & CLASS_BIT != 0 => write!(f, "duplicate class {}", source & !CLASS_BIT),
            Self::Foreign(source) => write!(f, "another page: {source:#x}"),
            Self::Torn { first, bytes } => write!(f, "{bytes} wrong bytes from offset {first} on"),
        }
    }
}

/// 2^64 divided by the golden ratio: the increment of SplitMix64 (Steele, Lea, Flood, 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The next value of SplitMix64.
fn next(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(GOLDEN);
    mix(*counter)
}

/// The finaliser of SplitMix64: each bit of the input changes about half of the output.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PLAIN: Pattern = Pattern { seed: 1, entropy: 50, rest: Rest::Word, duplicates: 0 };

    fn content(pattern: Pattern, number: u64, version: u8) -> Page {
        let mut page = [0; PAGE_BYTES];
        pattern.fill(number, version, &mut page);
        page
    }

    fn distinct_words(page: &Page) -> usize {
        page.as_chunks::<WORD_BYTES>().0.iter().collect::<HashSet<_>>().len()
    }

    #[test]
    fn number_version_and_seed_each_change_the_content() {
        let page = content(PLAIN, 7, 3);
        assert_ne!(page, content(PLAIN, 8, 3));
        assert_ne!(page, content(PLAIN, 7, 4));
        assert_ne!(page[HEADER_WORDS * WORD_BYTES..], content(Pattern { seed: 2, ..PLAIN }, 7, 3)[16..]);
        assert_eq!(page, content(PLAIN, 7, 3));
    }

    #[test]
    fn entropy_is_the_part_that_does_not_repeat() {
        assert!(distinct_words(&content(Pattern { entropy: 0, ..PLAIN }, 7, 3)) <= 3);
        assert_eq!(distinct_words(&content(Pattern { entropy: 50, ..PLAIN }, 7, 3)), 2 + 255 + 1);
        assert_eq!(distinct_words(&content(Pattern { entropy: 100, ..PLAIN }, 7, 3)), WORDS);
    }

    #[test]
    fn records_repeat_and_differ() {
        let page = content(Pattern { entropy: 0, rest: Rest::Records, ..PLAIN }, 7, 3);
        let words = distinct_words(&page);
        // Half of the words are text of a small vocabulary, one in eight a pointer of its own.
        assert!((WORDS / 8..WORDS / 2).contains(&words), "{words}");
        assert_ne!(page, content(Pattern { entropy: 0, rest: Rest::Records, ..PLAIN }, 8, 3));
    }

    #[test]
    fn the_wanted_part_of_all_pages_is_duplicate() {
        let pattern = Pattern { duplicates: 30, ..PLAIN };
        let contents: HashSet<_> = (0..1000).map(|number| content(pattern, number, 0)).collect();
        let unique = contents.len() - usize::try_from(CLASSES).unwrap();
        assert!((650..750).contains(&unique), "{unique}");
    }

    #[test]
    fn each_kind_of_damage_is_told() {
        let good = content(PLAIN, 7, 3);
        assert_eq!(PLAIN.check(7, 3, &good), Ok(()));
        assert_eq!(PLAIN.check(7, 3, &[0; PAGE_BYTES]), Err(Damage::Zeros));
        assert_eq!(PLAIN.check(7, 3, &content(PLAIN, 7, 2)), Err(Damage::Stale(2)));
        assert_eq!(PLAIN.check(7, 3, &content(PLAIN, 9, 3)), Err(Damage::Foreign(9)));
        let mut torn = good;
        torn[100] ^= 1;
        torn[4095] ^= 1;
        assert_eq!(PLAIN.check(7, 3, &torn), Err(Damage::Torn { first: 100, bytes: 2 }));
    }

    #[test]
    fn about_the_wanted_part_is_rewritten_and_not_the_same_each_pass() {
        let chosen = |pass| (0..1000).filter(|number| PLAIN.rewritten(*number, pass, 25)).collect::<Vec<_>>();
        assert!((200..300).contains(&chosen(1).len()));
        assert_ne!(chosen(1), chosen(2));
        assert!((0..1000).all(|number| PLAIN.rewritten(number, 1, 100)));
        assert!((0..1000).all(|number| !PLAIN.rewritten(number, 1, 0)));
    }
}
