//! What a VM used of its pages lately: hits, against pages stored, within `share.idle_after`.

use std::collections::VecDeque;

/// Samples that a window is made of, about.
const SAMPLES: u64 = 32;

/// A sample of a VM's counts.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: u64,
    hits: u64,
    stored_pages: u64,
}

/// A VM's counts over a time that ends now.
#[derive(Debug, Default)]
pub(super) struct Window {
    samples: VecDeque<Sample>,
}

/// What was seen in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Pages asked for and found.
    pub hit_pages: u64,
    /// Mean number of pages stored.
    pub stored_pages: u64,
}

impl Window {
    /// Takes down what a VM counted. `length_ms` is how far back the window goes.
    pub(super) fn add(&mut self, at_ms: u64, hits: u64, stored_pages: u64, length_ms: u64) {
        // Counts that went back are those of another life.
        if self.samples.back().is_some_and(|last| hits < last.hits || at_ms < last.at_ms) {
            self.samples.clear();
        }
        let step = length_ms / SAMPLES;
        let is_first = self.samples.len() == 1;
        match self.samples.back_mut() {
            // The newest stands for all of its time.
            Some(last) if !is_first && at_ms.saturating_sub(last.at_ms) < step => {
                (last.hits, last.stored_pages) = (hits, stored_pages);
            }
            _ => self.samples.push_back(Sample { at_ms, hits, stored_pages }),
        }
        // One that is as old as the window is long stays, to count from.
        while self.samples.get(1).is_some_and(|second| at_ms.saturating_sub(second.at_ms) >= length_ms) {
            self.samples.pop_front();
        }
    }

    /// What was seen. A page cannot have been idle for longer than the window is known: until then all are in use.
    pub(super) fn seen(&self, length_ms: u64) -> Seen {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return Seen { hit_pages: 0, stored_pages: 0 };
        };
        let sum: u128 = self.samples.iter().map(|sample| u128::from(sample.stored_pages)).sum();
        let mean = sum / u128::try_from(self.samples.len()).unwrap_or(1);
        let stored_pages = u64::try_from(mean).unwrap_or(u64::MAX);
        let is_whole = last.at_ms.saturating_sub(first.at_ms) >= length_ms.saturating_sub(length_ms / SAMPLES);
        Seen { hit_pages: if is_whole { last.hits - first.hits } else { stored_pages }, stored_pages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH_MS: u64 = 32_000;

    /// A window over a VM that stores 100 pages and hits as many of them each second.
    fn after(seconds: u64, hits_each: u64) -> Window {
        let mut window = Window::default();
        (0..=seconds).for_each(|second| window.add(second * 1000, second * hits_each, 100, LENGTH_MS));
        window
    }

    #[test]
    fn hits_count_for_as_long_as_the_window_is() {
        let seen = after(100, 2).seen(LENGTH_MS);
        assert_eq!(seen.stored_pages, 100);
        assert!((62..=66).contains(&seen.hit_pages), "{seen:?}");
        assert_eq!(after(100, 0).seen(LENGTH_MS), Seen { hit_pages: 0, stored_pages: 100 });
    }

    #[test]
    fn nothing_is_idle_before_it_can_be() {
        assert_eq!(after(20, 0).seen(LENGTH_MS), Seen { hit_pages: 100, stored_pages: 100 });
        assert_eq!(Window::default().seen(LENGTH_MS), Seen { hit_pages: 0, stored_pages: 0 });
    }

    #[test]
    fn counts_that_go_back_begin_a_new_window() {
        let mut window = after(100, 2);
        window.add(101_000, 0, 7, LENGTH_MS);
        assert_eq!(window.seen(LENGTH_MS), Seen { hit_pages: 7, stored_pages: 7 });
    }

    #[test]
    fn a_window_stays_small_however_often_it_is_added_to() {
        let mut window = Window::default();
        (0..10_000).for_each(|n| window.add(n * 10, n, 1, LENGTH_MS));
        assert!(window.samples.len() <= 36, "{}", window.samples.len());
        (0..10_000).for_each(|n| window.add(200_000 + n, 20_000, u64::MAX, 0));
        assert!(window.samples.len() <= 36, "{}", window.samples.len());
        assert_eq!(window.seen(0).stored_pages, u64::MAX);
    }
}
