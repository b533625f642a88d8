//! Whether the cable is plugged in: the tap is there.

use std::sync::atomic::{AtomicBool, Ordering};

/// A card's link, shared between its worker, which finds out, and its configuration space, which tells. A tap that has
/// gone does not come back, so neither does the link.
#[derive(Debug, Default)]
pub(super) struct Link {
    down: AtomicBool,
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        !self.down.load(Ordering::Acquire)
    }

    /// Returns whether it was up until now.
    pub(super) fn take_down(&self) -> bool {
        !self.down.swap(true, Ordering::AcqRel)
    }
}
