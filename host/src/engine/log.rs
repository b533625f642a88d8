//! Decisions as lines of the log.

use super::Engine;
use crate::logged::LogLine;

/// A decision that changes nothing is logged this often.
const LOG_AT_LEAST_MS: u64 = 10_000;

impl Engine {
    /// The last decision with all that it was made from, as a line of the decision log; `None` where it changed nothing and
    /// one like it was logged lately.
    #[must_use]
    pub fn log_line(&mut self, unix_ms: u64) -> Option<Vec<u8>> {
        let last = self.last.as_ref()?;
        let is_due = self.logged_ms.is_none_or(|at| last.at_ms.saturating_sub(at) >= LOG_AT_LEAST_MS);
        if !is_due && !last.changed {
            return None;
        }
        self.logged_ms = Some(last.at_ms);
        let (generation, sha256) = (self.in_force.generation, &self.in_force.sha256);
        let line = LogLine { unix_ms, generation, sha256, observation: &last.observation, decision: &last.decision };
        serde_json::to_vec(&line).ok()
    }
}
