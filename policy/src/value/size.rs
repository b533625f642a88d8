//! Sizes as people write them: a whole number and a unit, or a percentage of something that the key names.

use std::fmt;
use std::str::FromStr;

use super::percent::{Percent, PercentError};
use super::quoted::quoted;

/// The units that a size may have, the smallest first.
const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A size such as `"256MiB"`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A size such as `"256MiB"`, or a percentage such as `"150%"`, of what the key that it stands at says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeOrPercent {
    /// So many bytes.
    Bytes(u64),
    /// A part of what the key says.
    Percent(Percent),
}

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// a size has no unit
    #[error("{0:?} has no unit; write {0}KiB, {0}MiB or {0}GiB")]
    NoUnit(String),
    /// a size has a unit that is not known
    #[error("{unit:?} in {text:?} is no unit; write KiB, MiB, GiB or TiB")]
    Unit {
        /// The whole text.
        text: String,
        /// The part behind the number.
        unit: String,
    },
    /// a size does not start with a whole number
    #[error("{0:?} is no size; write a whole number and a unit, like \"256MiB\"")]
    Number(String),
    /// a size does not fit into 64 bits
    #[error("{0:?} is more than any machine has")]
    TooLarge(String),
    /// a percentage where only a size has a meaning
    #[error("{0:?} is a percentage, but here only a size has a meaning, like \"256MiB\"")]
    Percent(String),
    /// a percentage that is none
    #[error(transparent)]
    BadPercent(#[from] PercentError),
}

impl SizeOrPercent {
    /// The size in bytes where a percentage is one of `whole_bytes`, or `None` where it does not fit into 64 bits.
    /// Percentages are rounded down.
    #[must_use]
    pub fn bytes(self, whole_bytes: u64) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Percent(percent) => percent.checked_of(whole_bytes),
        }
    }
}

impl FromStr for SizeOrPercent {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        if text.ends_with('%') {
            return Ok(Self::Percent(text.parse()?));
        }
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        if digits.is_empty() {
            return Err(SizeError::Number(text.to_owned()));
        }
        let too_large = || SizeError::TooLarge(text.to_owned());
        let number: u64 = digits.parse().map_err(|_| too_large())?;
        if unit.is_empty() {
            return Err(SizeError::NoUnit(text.to_owned()));
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(SizeError::Unit { text: text.to_owned(), unit: unit.to_owned() });
        };
        number.checked_mul(*factor).map(Self::Bytes).ok_or_else(too_large)
    }
}

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        match text.parse()? {
            SizeOrPercent::Bytes(bytes) => Ok(Self(bytes)),
            SizeOrPercent::Percent(_) => Err(SizeError::Percent(text.to_owned())),
        }
    }
}

/// Exact, in the largest unit that leaves a whole number, so that it can be read back; bytes below 1 KiB are `B`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().rev().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None if self.0 == 0 => f.write_str("0KiB"),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Display for SizeOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => ByteSize(*bytes).fmt(f),
            Self::Percent(percent) => percent.fmt(f),
        }
    }
}

quoted!(ByteSize, "a size in quotes, like \"256MiB\"", "^[0-9]+(KiB|MiB|GiB|TiB)$");
quoted!(
    SizeOrPercent,
    "a size or a percentage in quotes, like \"256MiB\" or \"20%\"",
    "^([0-9]+(KiB|MiB|GiB|TiB)|[0-9]+([.][0-9]{1,2})?%)$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_a_unit_are_read() {
        assert_eq!("1KiB".parse(), Ok(ByteSize(1024)));
        assert_eq!("256MiB".parse(), Ok(ByteSize(256 << 20)));
        assert_eq!("3GiB".parse(), Ok(ByteSize(3 << 30)));
        assert_eq!("0KiB".parse(), Ok(ByteSize(0)));
        assert_eq!("150%".parse(), Ok(SizeOrPercent::Percent(Percent::whole(150))));
    }

    #[test]
    fn what_is_no_size_is_told_why() {
        let table = [
            ("", "is no size"),
            ("MiB", "is no size"),
            ("-1MiB", "is no size"),
            ("256", "has no unit; write 256KiB"),
            ("1.5GiB", "\".5GiB\" in \"1.5GiB\" is no unit"),
            ("256MB", "\"MB\" in \"256MB\" is no unit"),
            ("256 MiB", "is no unit"),
            ("256mib", "is no unit"),
            ("18446744073709551616KiB", "more than any machine"),
            ("18014398509481984KiB", "more than any machine"),
            ("42949673%", "more than"),
            ("-5%", "is no percentage"),
        ];
        for (text, fragment) in table {
            let message = text.parse::<SizeOrPercent>().unwrap_err().to_string();
            assert!(message.contains(fragment), "{text}: {message} lacks {fragment}");
        }
        assert_eq!("50%".parse::<ByteSize>(), Err(SizeError::Percent("50%".into())));
    }

    #[test]
    fn percentages_are_of_a_whole() {
        assert_eq!(SizeOrPercent::Percent(Percent::whole(150)).bytes(200), Some(300));
        assert_eq!(SizeOrPercent::Percent(Percent::whole(33)).bytes(10), Some(3));
        assert_eq!(SizeOrPercent::Percent(Percent::whole(150)).bytes(u64::MAX), None);
        assert_eq!(SizeOrPercent::Bytes(7).bytes(200), Some(7));
    }

    #[test]
    fn a_printed_size_is_exact_and_can_be_read_back() {
        for (bytes, text) in [(0, "0KiB"), (1 << 30, "1GiB"), (1536 << 20, "1536MiB"), (4096, "4KiB")] {
            assert_eq!(ByteSize(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
        }
        assert_eq!(ByteSize(1025).to_string(), "1025B");
    }
}
