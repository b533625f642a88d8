//! Values as people write them. Each has its unit in its text and a `Display` that can be read back.

mod pattern;
mod percent;
mod period;
mod pressure;
pub(crate) mod quoted;
mod size;

pub use pattern::{Pattern, PatternError};
pub use percent::{Percent, PercentError};
pub use period::{Period, PeriodError};
pub use pressure::Pressure;
pub(crate) use quoted::quoted;
pub use size::{ByteSize, SizeError, SizeOrPercent};
