//! A line of the decision log, as it is written and as it is read again.

use policy::law::Decision;
use policy::law::observation::Observation;
use serde::{Deserialize, Serialize};

/// What is written.
#[derive(Serialize)]
pub(crate) struct LogLine<'a> {
    pub(crate) unix_ms: u64,
    pub(crate) generation: u64,
    pub(crate) sha256: &'a str,
    pub(crate) observation: &'a Observation,
    pub(crate) decision: &'a Decision,
}

/// A decision that was logged, as far as it says what was seen: another policy decides something else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LoggedDecision {
    /// When it was made, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What it was made from.
    pub observation: Observation,
}
