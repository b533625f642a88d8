//! How many lines a connection may send.

/// Lines that come back with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    per_second: u64,
    /// In thousandths of a line.
    left: u64,
    burst: u64,
    refilled_ms: u64,
}

impl Budget {
    /// So many lines a second, and twice as many at once.
    pub(super) fn new(per_second: u64, now_ms: u64) -> Self {
        let burst = per_second.saturating_mul(2000);
        Self { per_second, left: burst, burst, refilled_ms: now_ms }
    }

    /// Takes a line, if there is one left.
    pub(super) fn take(&mut self, now_ms: u64) -> bool {
        let elapsed_ms = now_ms.saturating_sub(self.refilled_ms);
        self.refilled_ms = now_ms;
        self.left = self.left.saturating_add(elapsed_ms.saturating_mul(self.per_second)).min(self.burst);
        let enough = self.left >= 1000;
        if enough {
            self.left -= 1000;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_a_flood_is_not() {
        let mut budget = Budget::new(10, 0);
        assert_eq!((0..100).filter(|_| budget.take(0)).count(), 20);
        assert_eq!((0..100).filter(|_| budget.take(500)).count(), 5);
        assert_eq!((0..100).filter(|n| budget.take(10_000 + n * 100)).count(), 100);
        assert_eq!((0..100).filter(|_| budget.take(u64::MAX)).count(), 20);
    }
}
