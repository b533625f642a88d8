//! Patterns for names: `*` is any text, `?` any one character, everything else itself.

use std::fmt;
use std::str::FromStr;

use super::quoted::quoted;

/// Longest pattern in bytes. A match takes time in proportion to the lengths of pattern and text together.
const PATTERN_MAX_BYTES: usize = 256;

/// A pattern such as `"db-*"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// a pattern is empty
    #[error("an empty pattern matches nothing; write \"*\" for everything, or leave the key away")]
    Empty,
    /// a pattern is too long
    #[error("this pattern has {0} bytes; at most {PATTERN_MAX_BYTES} are allowed")]
    TooLong(usize),
    /// a pattern has a character that no name has
    #[error("{0:?} is in no name; allowed are printable ASCII characters")]
    Character(char),
}

impl Pattern {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole text is of this pattern.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        covers(self.0.as_bytes(), text.as_bytes(), |one, byte| one == b'?' || one == byte)
    }

    /// Whether every text of the other pattern is surely one of this. `false` may also mean that it is not known.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // A wildcard of the other stands for many texts: only a `*`, or for `?` a `?`, has them all.
        covers(self.0.as_bytes(), other.0.as_bytes(), |one, byte| match byte {
            b'*' => false,
            b'?' => one == b'?',
            _ => one == b'?' || one == byte,
        })
    }
}

/// Matches from left to right. Where it fails, the last `*` takes one byte more; earlier ones need not change, because
/// what stands between two `*` is found at its first place.
fn covers(pattern: &[u8], text: &[u8], matches_one: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut last_star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p, t));
                p += 1;
            }
            Some(one) if matches_one(*one, text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match last_star {
                Some((star, taken)) => {
                    last_star = Some((star, taken + 1));
                    p = star + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_MAX_BYTES {
            return Err(PatternError::TooLong(text.len()));
        }
        match text.chars().find(|c| !matches!(c, ' '..='~')) {
            Some(character) => Err(PatternError::Character(character)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

quoted!(Pattern, "a name in quotes, perhaps with * and ?, like \"db-*\"", "^[ -~]{1,256}$");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let table = [
            ("db-*", "db-1", true),
            ("db-*", "db-", true),
            ("db-*", "a-db-1", false),
            ("db-?", "db-1", true),
            ("db-?", "db-10", false),
            ("*", "", true),
            ("a*b*c", "aXbbYc", true),
            ("a*b*c", "aXbYcZ", false),
            ("*ab", "aab", true),
            ("web", "web", true),
            ("web", "web1", false),
        ];
        for (text, name, wanted) in table {
            assert_eq!(pattern(text).matches(name), wanted, "{text} and {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length_times_the_texts() {
        let many_stars = pattern(&"*a".repeat(128));
        assert!(!many_stars.matches(&format!("{}b", "a".repeat(100_000))));
    }

    #[test]
    fn a_pattern_that_no_name_has_is_refused() {
        assert_eq!("".parse::<Pattern>(), Err(PatternError::Empty));
        assert_eq!("a\n".parse::<Pattern>(), Err(PatternError::Character('\n')));
        assert_eq!("x".repeat(257).parse::<Pattern>(), Err(PatternError::TooLong(257)));
    }

    fn small_pattern() -> impl Strategy<Value = Pattern> {
        "[ab*?]{1,5}".prop_map(|text| pattern(&text))
    }

    proptest! {
        #[test]
        fn what_covers_a_pattern_matches_all_that_it_matches(
            wide in small_pattern(), narrow in small_pattern(), name in "[ab]{0,6}",
        ) {
            if wide.covers(&narrow) && narrow.matches(&name) {
                prop_assert!(wide.matches(&name), "{wide} covers {narrow}, but {name} is of the second only");
            }
            prop_assert!(narrow.covers(&narrow));
        }
    }
}
