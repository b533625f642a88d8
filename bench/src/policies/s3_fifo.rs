//! S3-FIFO: newcomers go through a small queue; those used there, or known to have been here, go to the main one
//! (Yang et al., SOSP 2023).

use super::list::List;
use super::{Cache, Page};

/// The small queue's share of the capacity.
const SMALL_SHARE: usize = 10;

pub(super) struct S3Fifo {
    capacity: usize,
    /// Uses in the small queue that lead to the main one.
    enough: u8,
    small: List,
    main: List,
    /// Pages that went from the small queue, or were taken out by a get: as many as the main queue may hold.
    ghosts: List,
    uses: Vec<u8>,
}

impl S3Fifo {
    pub(super) fn new(capacity: usize, pages: usize, enough: u8) -> Self {
        let [small, main, ghosts] = std::array::from_fn(|_| List::new(pages));
        Self { capacity, enough, small, main, ghosts, uses: vec![0; pages] }
    }

    fn remember(&mut self, page: Page) {
        self.ghosts.push(page);
        if self.ghosts.len() > self.capacity - self.capacity / SMALL_SHARE {
            self.ghosts.pop();
        }
    }

    fn evict(&mut self) {
        loop {
            let from_small = self.small.len() >= (self.capacity / SMALL_SHARE).max(1) || self.main.len() == 0;
            if from_small {
                let Some(page) = self.small.pop() else { return };
                if self.uses[page] >= self.enough {
                    self.uses[page] = 0;
                    self.main.push(page);
                } else {
                    self.remember(page);
                    return;
                }
            } else {
                let Some(page) = self.main.pop() else { return };
                if self.uses[page] == 0 {
                    return;
                }
                self.uses[page] -= 1;
                self.main.push(page);
            }
        }
    }
}

impl Cache for S3Fifo {
    fn get(&mut self, page: Page) -> bool {
        self.uses[page] = 3.min(self.uses[page] + 1);
        self.small.has(page) || self.main.has(page)
    }

    fn put(&mut self, page: Page) {
        if self.small.has(page) || self.main.has(page) {
            return;
        }
        if self.small.len() + self.main.len() >= self.capacity {
            self.evict();
        }
        self.uses[page] = 0;
        if self.ghosts.remove(page) { self.main.push(page) } else { self.small.push(page) }
    }

    fn remove(&mut self, page: Page, hit: bool) {
        let here = self.small.remove(page) || self.main.remove(page);
        if here && hit {
            self.remember(page);
        }
    }
}
