//! The host's policy: its file, its validation, and the control laws as pure functions.
//!
//! ```text
//!  text     files → one table, each mistake with its line        value   sizes, percentages, times, patterns
//!  schema   the table as structs                                 check   rules beyond the form of a value
//!  law      (policy, observation) → decisions
//! ```
//!
//! Nothing here acts, and nothing but [`load`] does I/O. No law has a clock or chance of its own: the same policy and
//! the same observations give the same decisions, on every machine.

mod check;
pub mod law;
pub mod schema;
mod text;
mod value;

pub use schema::{JSON_SCHEMA, Policy};
pub use text::{
    Concern, FILE_MAX_BYTES, FILES_MAX, LoadError, MISTAKES_MAX, Mistake, Place, Problem, Reading, Remark, Source,
    Sources, Warning, load, read,
};
pub use value::{
    ByteSize, Pattern, PatternError, Percent, PercentError, Period, PeriodError, Pressure, SizeError, SizeOrPercent,
};
