//! Percentages, to a hundredth of a percent.

use std::fmt;
use std::str::FromStr;

use super::quoted::quoted;

/// A percentage such as `"150%"` or `"12.5%"`. Held in hundredths of a percent, so that laws calculate with whole
/// numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

/// Why a text is no percentage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PercentError {
    /// a text has not the form of a percentage
    #[error("{0:?} is no percentage; write a number with at most two decimals and a percent sign, like \"12.5%\"")]
    Form(String),
    /// a percentage is larger than any that has a meaning
    #[error("{0:?} is more than any percentage that has a meaning")]
    TooLarge(String),
}

impl Percent {
    /// The whole.
    pub const ALL: Self = Self::whole(100);

    /// So many percent.
    #[must_use]
    pub const fn whole(percent: u16) -> Self {
        Self(percent as u32 * 100)
    }

    /// So many hundredths of a percent.
    #[must_use]
    pub const fn from_basis_points(basis_points: u32) -> Self {
        Self(basis_points)
    }

    /// In hundredths of a percent.
    #[must_use]
    pub const fn basis_points(self) -> u32 {
        self.0
    }

    /// This part of a whole, rounded down; `None` where it does not fit into 64 bits.
    #[must_use]
    pub fn checked_of(self, whole: u64) -> Option<u64> {
        u64::try_from(u128::from(whole) * u128::from(self.0) / 10_000).ok()
    }

    /// This part of a whole, rounded down, at most [`u64::MAX`].
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        self.checked_of(whole).unwrap_or(u64::MAX)
    }
}

impl FromStr for Percent {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        let form = || PercentError::Form(text.to_owned());
        let number = text.strip_suffix('%').ok_or_else(form)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
            return Err(form());
        }
        let too_large = || PercentError::TooLarge(text.to_owned());
        let whole: u32 = whole.parse().map_err(|_| too_large())?;
        let decimals: u32 = format!("{decimals:0<2}").parse().map_err(|_| form())?;
        whole.checked_mul(100).and_then(|points| points.checked_add(decimals)).map(Self).ok_or_else(too_large)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, decimals) if decimals.is_multiple_of(10) => write!(f, "{whole}.{}%", decimals / 10),
            (whole, decimals) => write!(f, "{whole}.{decimals:02}%"),
        }
    }
}

quoted!(Percent, "a percentage in quotes, like \"20%\"", "^[0-9]+([.][0-9]{1,2})?%$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_read_to_two_decimals_and_can_be_read_back() {
        for (text, basis_points) in [("0%", 0), ("12.5%", 1250), ("0.25%", 25), ("3.05%", 305), ("150%", 15_000)] {
            assert_eq!(text.parse(), Ok(Percent(basis_points)));
            assert_eq!(Percent(basis_points).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_percentage_is_told_why() {
        for text in ["", "%", "5", "5.%", ".5%", "1.234%", "-1%", "+1%", "1e2%", "5 %", "nan%"] {
            assert_eq!(text.parse::<Percent>(), Err(PercentError::Form(text.into())));
        }
        assert_eq!("42949673%".parse::<Percent>(), Err(PercentError::TooLarge("42949673%".into())));
    }

    #[test]
    fn parts_are_rounded_down_and_never_overflow() {
        assert_eq!(Percent::whole(33).of(10), 3);
        assert_eq!(Percent::ALL.of(u64::MAX), u64::MAX);
        assert_eq!(Percent(10_001).checked_of(u64::MAX), None);
        assert_eq!(Percent(u32::MAX).of(u64::MAX), u64::MAX);
    }
}
