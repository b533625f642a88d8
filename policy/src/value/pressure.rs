//! Pressure as the kernel prints it: percent of time, to two decimals.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// Share of time that tasks waited for memory, such as `5.0`: percent, as in `/proc/pressure/memory`
/// (Documentation/accounting/psi.rst of Linux). Held in hundredths of a percent, which is what the kernel prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pressure(u32);

impl Pressure {
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
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Pressure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 100.0)
    }
}

impl<'de> Deserialize<'de> for Pressure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = Pressure;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 100, percent of time, like 5.0")
    }

    fn visit_f64<E: de::Error>(self, percent: f64) -> Result<Pressure, E> {
        // Not a number is in no range, so it is refused here too.
        if !(0.0..=100.0).contains(&percent) {
            return Err(E::custom(format!("{percent} is no pressure; write a number from 0 to 100, percent of time")));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 10 000")]
        let basis_points = (percent * 100.0).round() as u32;
        Ok(Pressure(basis_points))
    }

    fn visit_i64<E: de::Error>(self, percent: i64) -> Result<Pressure, E> {
        match u32::try_from(percent) {
            Ok(percent @ 0..=100) => Ok(Pressure(percent * 100)),
            _ => Err(E::custom(format!("{percent} is no pressure; write a number from 0 to 100, percent of time"))),
        }
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Pressure {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pressure".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "number", "minimum": 0, "maximum": 100,
            "description": "a number from 0 to 100, percent of time, like 5.0"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Document {
        some: Pressure,
    }

    #[test]
    fn pressure_is_a_number_from_0_to_100() {
        for (text, basis_points) in [("0", 0), ("5", 500), ("5.0", 500), ("12.05", 1205), ("100", 10_000)] {
            let document: Document = toml::from_str(&format!("some = {text}")).unwrap();
            assert_eq!(document.some.basis_points(), basis_points, "{text}");
        }
        for text in ["-1", "-0.1", "101", "100.1", "nan", "inf", "-inf", "9223372036854775807"] {
            let error = toml::from_str::<Document>(&format!("some = {text}")).unwrap_err();
            assert!(error.message().contains("write a number from 0 to 100"), "{text}: {error}");
        }
        let error = toml::from_str::<Document>("some = \"5%\"").unwrap_err();
        assert!(error.message().contains("expected a number from 0 to 100"), "{error}");
    }
}
