//! What others do wrong, logged once a kind and not as often as they do it.

use std::collections::BTreeMap;

/// How long a kind is silent after it was logged.
const SILENCE_MS: u64 = 60_000;

/// Incidents by kind.
#[derive(Debug, Default)]
pub(super) struct Incidents(BTreeMap<&'static str, Told>);

#[derive(Debug, Default)]
struct Told {
    at_ms: u64,
    count: u64,
    untold: u64,
}

impl Incidents {
    /// How often each kind happened.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.0.iter().map(|(kind, told)| (*kind, told.count)).collect()
    }

    /// Counts an incident. The number of those that were not logged since the last one of its kind, where this one is to
    /// be logged.
    pub(super) fn note(&mut self, kind: &'static str, now_ms: u64) -> Option<u64> {
        let told = self.0.entry(kind).or_default();
        told.count += 1;
        if told.count > 1 && now_ms.saturating_sub(told.at_ms) < SILENCE_MS {
            told.untold += 1;
            return None;
        }
        told.at_ms = now_ms;
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_logged_once_and_the_rest_is_counted() {
        let mut incidents = Incidents::default();
        assert_eq!(incidents.note("flood", 5), Some(0));
        assert_eq!(incidents.note("half message", 5), Some(0));
        assert!((0..1000).all(|n| incidents.note("flood", 6 + n).is_none()));
        assert_eq!(incidents.note("flood", 60_005), Some(1000));
        assert_eq!(incidents.note("flood", 60_006), None);
    }
}
