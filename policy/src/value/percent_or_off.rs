//! Percentages that may be left out of the game.

use std::fmt;
use std::str::FromStr;

use super::quoted::quoted;
use super::{Percent, PercentError};

/// A percentage, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PercentOrOff {
    /// What the percentage is for is not done.
    Off,
    /// It is done at this percentage.
    Percent(Percent),
}

impl PercentOrOff {
    /// The percentage, where nothing is the same as all.
    #[must_use]
    pub const fn or_all(self) -> Percent {
        match self {
            Self::Off => Percent::ALL,
            Self::Percent(percent) => percent,
        }
    }
}

impl FromStr for PercentOrOff {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::Percent) }
    }
}

impl fmt::Display for PercentOrOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Percent(percent) => percent.fmt(f),
        }
    }
}

quoted!(PercentOrOff, "\"off\", or a percentage in quotes, like \"75%\"", "^(off|[0-9]+([.][0-9]{1,2})?%)$");
