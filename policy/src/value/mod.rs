//! Values as people write them. Each has its unit in its text and a `Display` that can be read back.

mod pattern;
mod percent;
mod percent_or_off;
mod period;
mod pressure;
pub(crate) mod quoted;
mod size;

pub use pattern::{Pattern, PatternError};
pub use percent::{Percent, PercentError};
pub use percent_or_off::PercentOrOff;
pub use period::{Period, PeriodError};
pub use pressure::Pressure;
pub use size::{ByteSize, SizeError, SizeOrPercent};
