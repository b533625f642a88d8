//! The 256 tokens.
//!
//! ```text
//!    0 …  95   0 to 5 literals × 16 match lengths, at a new distance
//!   96 … 175   1 to 5 literals × 16 match lengths, at the last distance
//!  176 … 223   no literals, 48 match lengths, at the last distance
//!  224 … 255   32 numbers of literals, no match
//! ```
//!
//! A match longer than its token can say goes on in tokens of the third kind, literals in those of the fourth.

use crate::key::PAGE_SIZE;

/// Match lengths beside literals or with a new distance. The last three are what pages have most of, beyond 16: words but
/// for a byte that differs.
const MATCHES: [u16; 16] = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 23, 31];
/// Match lengths that go on at the last distance.
const CONTINUED: [u16; 48] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
    32, 40, 48, 56, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4088,
];
/// Numbers of literals alone.
const LITERALS: [u16; 32] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 32, 40, 48, 64, 96, 128,
    256, 1024,
];

/// The first tokens of the second, third and fourth kind.
const AT_LAST_DISTANCE: u8 = 96;
const CONTINUES: u8 = 176;
const LITERALS_ONLY: u8 = 224;

/// Most literals beside a match.
pub(super) const BESIDE_MAX: usize = 5;
/// Shortest match worth a token.
pub(super) const MATCH_MIN: usize = MATCHES[0] as usize;
/// Most literals that any token has.
pub(super) const LITERALS_MAX: usize = LITERALS[LITERALS.len() - 1] as usize;
/// Longest match that any token has.
pub(super) const MATCH_MAX: usize = CONTINUED[CONTINUED.len() - 1] as usize;

/// What a token means, in one word: the decoder loads it whole.
#[derive(Clone, Copy)]
pub(super) struct Meaning(u32);

const LITERALS_SHIFT: u32 = 12;
const NEW_SHIFT: u32 = 31;

impl Meaning {
    /// The meaning of a token.
    pub(super) fn of(token: u8) -> Self {
        TABLE[usize::from(token)]
    }

    /// Literals before the match.
    pub(super) fn literals(self) -> usize {
        (self.0 >> LITERALS_SHIFT & 0x7ff) as usize
    }

    /// Length of the match.
    pub(super) fn length(self) -> usize {
        (self.0 & 0xfff) as usize
    }

    /// 1 where the match has a new distance, else 0.
    pub(super) fn new_distance(self) -> usize {
        (self.0 >> NEW_SHIFT) as usize
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a token has eight bits")]
const TABLE: [Meaning; 256] = {
    let mut table = [Meaning(0); 256];
    let mut token = 0;
    while token < 256 {
        let (new, literals, length) = if token < AT_LAST_DISTANCE as usize {
            (1, token as u32 / 16, MATCHES[token % 16])
        } else if token < CONTINUES as usize {
            (0, (token as u32 - AT_LAST_DISTANCE as u32) / 16 + 1, MATCHES[token % 16])
        } else if token < LITERALS_ONLY as usize {
            (0, 0, CONTINUED[token - CONTINUES as usize])
        } else {
            (0, LITERALS[token - LITERALS_ONLY as usize] as u32, 0)
        };
        table[token] = Meaning(new << NEW_SHIFT | literals << LITERALS_SHIFT | length as u32);
        token += 1;
    }
    table
};

/// A token for a part of a length, and how long that part is.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) token: u8,
    pub(super) length: u16,
}

/// Lengths whose parts are looked up in a table.
const TABLED: usize = 64;

/// For each length the token of the longest part of it.
type Parts = [Part; TABLED + 1];

#[allow(clippy::cast_possible_truncation, reason = "a position in a set of 48 at most")]
const fn parts(lengths: &[u16], first: u8) -> Parts {
    let mut table = [Part { token: first, length: 0 }; TABLED + 1];
    let mut length = 0;
    while length <= TABLED {
        let mut at = 0;
        while at < lengths.len() && lengths[at] as usize <= length {
            table[length] = Part { token: first + at as u8, length: lengths[at] };
            at += 1;
        }
        length += 1;
    }
    table
}

static MATCH_PARTS: Parts = parts(&MATCHES, 0);
static CONTINUED_PARTS: Parts = parts(&CONTINUED, CONTINUES);
static LITERAL_PARTS: Parts = parts(&LITERALS, LITERALS_ONLY);

/// The first token of a match of `length` after up to [`BESIDE_MAX`] literals, of which there are some or the distance is
/// new.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "5 literals at most")]
pub(super) fn beside_part(literals: usize, length: usize, new_distance: bool) -> Part {
    debug_assert!(new_distance || literals > 0);
    let beside = MATCH_PARTS[length.min(TABLED)];
    // At the last distance there is no row for no literals.
    let row = literals as u8 * 16 + if new_distance { 0 } else { AT_LAST_DISTANCE - 16 };
    Part { token: beside.token + row, ..beside }
}

/// The next token of a match at the last distance, without literals, that goes on for `length`; of no use for 0.
#[inline]
pub(super) fn continued_part(length: usize) -> Part {
    if length <= TABLED { CONTINUED_PARTS[length] } else { long_part(&CONTINUED, CONTINUES, length) }
}

/// The next token of `literals` alone; of no use for 0.
#[inline]
pub(super) fn literal_part(literals: usize) -> Part {
    if literals <= TABLED { LITERAL_PARTS[literals] } else { long_part(&LITERALS, LITERALS_ONLY, literals) }
}

#[cold]
#[allow(clippy::cast_possible_truncation, reason = "a position in a set of 48 at most")]
fn long_part(lengths: &[u16], first: u8, length: usize) -> Part {
    debug_assert!(length <= PAGE_SIZE);
    let at = lengths.iter().rposition(|part| usize::from(*part) <= length).unwrap_or(0);
    Part { token: first + at as u8, length: lengths[at] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_s_token_means_the_part() {
        for length in MATCH_MIN..=PAGE_SIZE {
            for literals in 0..=BESIDE_MAX {
                for new in [false, true] {
                    if literals == 0 && !new {
                        continue;
                    }
                    let part = beside_part(literals, length, new);
                    let meaning = Meaning::of(part.token);
                    assert_eq!(meaning.literals(), literals);
                    assert_eq!(meaning.length(), usize::from(part.length));
                    assert_eq!(meaning.new_distance(), usize::from(new));
                    assert!((1..=length).contains(&meaning.length()));
                }
            }
        }
        for length in 1..=PAGE_SIZE {
            let (more, alone) = (continued_part(length), literal_part(length));
            assert_eq!(Meaning::of(more.token).length(), usize::from(more.length));
            assert_eq!((Meaning::of(more.token).literals(), Meaning::of(more.token).new_distance()), (0, 0));
            assert_eq!(Meaning::of(alone.token).literals(), usize::from(alone.length));
            assert_eq!((Meaning::of(alone.token).length(), Meaning::of(alone.token).new_distance()), (0, 0));
            assert!(
                (1..=length).contains(&usize::from(more.length)) && (1..=length).contains(&usize::from(alone.length))
            );
        }
    }

    #[test]
    fn every_token_moves_on() {
        for token in 0..=u8::MAX {
            let meaning = Meaning::of(token);
            assert!(meaning.literals() + meaning.length() > 0);
            assert!(meaning.literals() <= LITERALS_MAX && meaning.length() <= MATCH_MAX);
        }
    }
}
