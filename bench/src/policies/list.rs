//! A queue of pages from whose middle pages can go.

use super::Page;

const NONE: usize = usize::MAX;

/// Pages in an order, each once; everything costs O(1).
pub(super) struct List {
    /// The neighbours of each page: older and younger. A page that is not here has itself for both.
    links: Vec<(usize, usize)>,
    oldest: usize,
    youngest: usize,
    len: usize,
}

impl List {
    pub(super) fn new(pages: usize) -> Self {
        Self { links: (0..pages).map(|page| (page, page)).collect(), oldest: NONE, youngest: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn has(&self, page: Page) -> bool {
        self.links[page] != (page, page)
    }

    pub(super) fn oldest(&self) -> Option<Page> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// The page that came next after this one.
    pub(super) fn younger(&self, page: Page) -> Option<Page> {
        Some(self.links[page].1).filter(|younger| *younger != NONE)
    }

    pub(super) fn push(&mut self, page: Page) {
        self.links[page] = (self.youngest, NONE);
        match self.youngest {
            NONE => self.oldest = page,
            youngest => self.links[youngest].1 = page,
        }
        self.youngest = page;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, page: Page) -> bool {
        if !self.has(page) {
            return false;
        }
        let (older, younger) = std::mem::replace(&mut self.links[page], (page, page));
        match older {
            NONE => self.oldest = younger,
            older => self.links[older].1 = younger,
        }
        match younger {
            NONE => self.youngest = older,
            younger => self.links[younger].0 = older,
        }
        self.len -= 1;
        true
    }

    pub(super) fn pop(&mut self) -> Option<Page> {
        let oldest = self.oldest()?;
        self.remove(oldest);
        Some(oldest)
    }
}
