//! A page with room around it.

use std::ops::{Deref, DerefMut};

use crate::key::{PAGE_SIZE, Page};

/// Bytes of zeros before and behind the page: two words.
pub(super) const MARGIN: usize = 16;

/// A page between zeros, so that a codec can load whole words at its ends.
pub(crate) struct PaddedPage([u8; MARGIN + PAGE_SIZE + MARGIN]);

impl PaddedPage {
    pub(super) fn new(page: &Page) -> Self {
        let mut padded = Self([0; MARGIN + PAGE_SIZE + MARGIN]);
        *padded = *page;
        padded
    }

    /// The page with its margins.
    pub(super) fn with_margins(&self) -> &[u8; MARGIN + PAGE_SIZE + MARGIN] {
        &self.0
    }
}

impl Deref for PaddedPage {
    type Target = Page;

    #[inline]
    fn deref(&self) -> &Page {
        let (_, behind) = self.0.split_at(MARGIN);
        behind.first_chunk().expect("a page and a margin are behind the first margin")
    }
}

impl DerefMut for PaddedPage {
    #[inline]
    fn deref_mut(&mut self) -> &mut Page {
        let (_, behind) = self.0.split_at_mut(MARGIN);
        behind.first_chunk_mut().expect("a page and a margin are behind the first margin")
    }
}
