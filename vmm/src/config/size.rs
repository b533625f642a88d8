//! Sizes as people write them: a whole number and a unit, or a percentage of the guest's memory.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The units that a size may have, the smallest first.
const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A size such as `"256MiB"`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A size such as `"256MiB"`, or a percentage of the guest's memory such as `"150%"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeOrPercent {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the guest's memory.
    Percent(u32),
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
}

impl SizeOrPercent {
    /// The size in bytes for a guest with this much memory, or `None` where it does not fit into 64 bits. Percentages
    /// are rounded down.
    #[must_use]
    pub fn bytes(self, memory_bytes: u64) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Percent(percent) => u64::try_from(u128::from(memory_bytes) * u128::from(percent) / 100).ok(),
        }
    }
}

impl FromStr for SizeOrPercent {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        if digits.is_empty() {
            return Err(SizeError::Number(text.to_owned()));
        }
        let too_large = || SizeError::TooLarge(text.to_owned());
        let number: u64 = digits.parse().map_err(|_| too_large())?;
        if unit.is_empty() {
            return Err(SizeError::NoUnit(text.to_owned()));
        }
        if unit == "%" {
            return u32::try_from(number).map(Self::Percent).map_err(|_| too_large());
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

/// Takes a string, and turns a bare number into the error that says what it lacks.
struct SizeText<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = SizeError>> Visitor<'_> for SizeText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size in quotes, like \"256MiB\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Err(E::custom(SizeError::NoUnit(number.to_string())))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeText(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for SizeOrPercent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeText(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_a_unit_are_read() {
        assert_eq!("1KiB".parse(), Ok(ByteSize(1024)));
        assert_eq!("256MiB".parse(), Ok(ByteSize(256 << 20)));
        assert_eq!("3GiB".parse(), Ok(ByteSize(3 << 30)));
        assert_eq!("0KiB".parse(), Ok(ByteSize(0)));
        assert_eq!("150%".parse(), Ok(SizeOrPercent::Percent(150)));
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
            ("4294967296%", "more than any machine"),
        ];
        for (text, fragment) in table {
            let message = text.parse::<SizeOrPercent>().unwrap_err().to_string();
            assert!(message.contains(fragment), "{text}: {message} lacks {fragment}");
        }
        assert_eq!("50%".parse::<ByteSize>(), Err(SizeError::Percent("50%".into())));
    }

    #[test]
    fn percentages_are_of_the_guests_memory() {
        assert_eq!(SizeOrPercent::Percent(150).bytes(200), Some(300));
        assert_eq!(SizeOrPercent::Percent(33).bytes(10), Some(3));
        assert_eq!(SizeOrPercent::Percent(u32::MAX).bytes(u64::MAX), None);
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
