//! A counter for what a guest does wrong, which also says so in the log, but never often.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often a guest broke the rules of one device, or of the hypercall interface.
///
/// The log gets the 1st mistake, the 10th, the 100th and so on, with the count: a driver under development is told at
/// once, a hostile one that makes a million mistakes has written seven lines, and none of this needs a clock or a lock.
#[derive(Debug)]
pub struct Mistakes {
    place: String,
    count: AtomicU64,
}

impl Mistakes {
    /// None so far, by whoever uses what the log shall call `place`.
    #[must_use]
    pub fn of(place: &str) -> Self {
        Self { place: place.to_owned(), count: AtomicU64::new(0) }
    }

    /// Counts one. `what` is formatted only if it is going to be logged.
    pub fn note(&self, what: impl Display) {
        let count = self.count.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if is_power_of_ten(count) {
            tracing::warn!(place = self.place, "guest mistake: {what} (so far: {count})");
        }
    }

    /// Mistakes since this counter was made.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

fn is_power_of_ten(count: u64) -> bool {
    count.checked_ilog10().and_then(|digits| 10u64.checked_pow(digits)) == Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fmt;

    /// Counts how often it is formatted, that is, logged.
    struct Formatted<'a>(&'a Cell<u32>);

    impl Display for Formatted<'_> {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.set(self.0.get() + 1);
            Ok(())
        }
    }

    #[test]
    fn every_mistake_is_counted_and_few_are_logged() {
        let (mistakes, logged) = (Mistakes::of("test"), Cell::new(0));
        (0..1_000).for_each(|_| mistakes.note(Formatted(&logged)));
        assert_eq!(mistakes.count(), 1_000);
        assert!(logged.get() <= 4, "logged {} times", logged.get());
    }

    #[test]
    fn ten_thousand_mistakes_are_five_lines() {
        let logged = (0..=10_000).filter(|count| is_power_of_ten(*count));
        assert_eq!(logged.collect::<Vec<_>>(), [1, 10, 100, 1000, 10_000]);
    }
}
