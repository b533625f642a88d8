//! Lengths of time: a whole number of milliseconds or seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::quoted::quoted;

/// A length of time such as `"250ms"` or `"5s"`, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u64);

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// a length of time has no unit
    #[error("{0:?} has no unit; write {0}s or {0}ms")]
    NoUnit(String),
    /// a length of time has a unit that is not known
    #[error("{unit:?} in {text:?} is no unit of time; write ms or s")]
    Unit {
        /// The whole text.
        text: String,
        /// The part behind the number.
        unit: String,
    },
    /// a length of time does not start with a whole number
    #[error("{0:?} is no length of time; write a whole number and a unit, like \"250ms\" or \"5s\"")]
    Number(String),
    /// a length of time does not fit into 64 bits of milliseconds
    #[error("{0:?} is longer than any machine runs")]
    TooLong(String),
}

impl Period {
    /// So many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        if digits.is_empty() {
            return Err(PeriodError::Number(text.to_owned()));
        }
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "" => return Err(PeriodError::NoUnit(text.to_owned())),
            _ => return Err(PeriodError::Unit { text: text.to_owned(), unit: unit.to_owned() }),
        };
        let number: Option<u64> = digits.parse().ok();
        number
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| PeriodError::TooLong(text.to_owned()))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) { write!(f, "{}s", self.0 / 1000) } else { write!(f, "{}ms", self.0) }
    }
}

quoted!(Period, "a length of time in quotes, like \"250ms\" or \"5s\"", "^[0-9]+(ms|s)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_read_and_can_be_read_back() {
        for (text, ms) in [("0s", 0), ("250ms", 250), ("5s", 5000), ("300s", 300_000)] {
            assert_eq!(text.parse(), Ok(Period(ms)));
            assert_eq!(Period(ms).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_length_of_time_is_told_why() {
        let table = [
            ("", "is no length of time"),
            ("-5s", "is no length of time"),
            ("5", "has no unit; write 5s or 5ms"),
            ("1.5s", "\".5s\" in \"1.5s\" is no unit of time"),
            ("5min", "\"min\" in \"5min\" is no unit of time; write ms or s"),
            ("5 s", "is no unit"),
            ("18446744073709551616ms", "longer than any machine"),
            ("18446744073709551s", ""),
            ("18446744073709552s", "longer than any machine"),
        ];
        for (text, fragment) in table {
            let message = text.parse::<Period>().map_or_else(|error| error.to_string(), |_| String::new());
            assert!(message.contains(fragment), "{text}: {message} lacks {fragment}");
        }
    }
}
