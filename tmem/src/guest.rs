//! Guest memory, as far as the store sees it.

use crate::key::Page;

/// The frame is not guest RAM, or reading or writing it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of guest memory")]
pub struct BadFrame;

/// Copies whole pages in and out of guest memory: the only view of it that the store has.
///
/// A frame is a guest-physical address divided by the page size; it comes from the guest unchecked. The guest may
/// change the page during a copy, so an implementation makes no reference to it and the store decides on its own copy.
pub trait GuestPages {
    /// Copies the page at `frame` into `into`; [`copy_page`](crate::copy_page) is for that. On an error `into` holds anything.
    ///
    /// # Errors
    /// [`BadFrame`] where `frame` is not guest memory.
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame>;

    /// Copies `from` to the page at `frame`. On an error the page may be partly written.
    ///
    /// # Errors
    /// [`BadFrame`] where `frame` is not guest memory.
    fn write_page(&self, frame: u64, from: &Page) -> Result<(), BadFrame>;

    /// The page at `frame` will be written in a microsecond or two, if it is guest memory: a place to
    /// [`prefetch`](crate::prefetch()). Does nothing unless an implementation makes it.
    fn expect_write(&self, frame: u64) {
        let _ = frame;
    }
}
