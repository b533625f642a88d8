//! A page with room around it.

use std::ops::{Deref, DerefMut};

use crate::key::{PAGE_SIZE, Page};

/// Bytes of zeros before and behind the page: what `page_lz` looks at there, and copies at a time.
pub(super) const MARGIN: usize = 16;

/// A page between zeros, so that a codec can load whole words at its ends. The page itself begins with a cache line.
#[repr(C, align(64))]
pub(crate) struct PaddedPage {
    _align: [u8; 64 - MARGIN],
    bytes: [u8; MARGIN + PAGE_SIZE + MARGIN],
}

impl PaddedPage {
    pub(super) fn new(page: &Page) -> Self {
        let mut padded = Self { _align: [0; 64 - MARGIN], bytes: [0; MARGIN + PAGE_SIZE + MARGIN] };
        *padded = *page;
        padded
    }

    /// The page with its margins.
    pub(super) fn with_margins(&self) -> &[u8; MARGIN + PAGE_SIZE + MARGIN] {
        &self.bytes
    }
}

impl Deref for PaddedPage {
    type Target = Page;

    #[inline]
    fn deref(&self) -> &Page {
        let (_, behind) = self.bytes.split_at(MARGIN);
        behind.first_chunk().expect("a page and a margin are behind the first margin")
    }
}

impl DerefMut for PaddedPage {
    #[inline]
    fn deref_mut(&mut self) -> &mut Page {
        let (_, behind) = self.bytes.split_at_mut(MARGIN);
        behind.first_chunk_mut().expect("a page and a margin are behind the first margin")
    }
}
