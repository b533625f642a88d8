//! SIEVE: a hand goes from old to young over a queue in which nothing moves, and takes what was not used since it last
//! came by (Zhang et al., NSDI 2024).

use super::list::List;
use super::{Cache, Page};

pub(super) struct Sieve {
    capacity: usize,
    queue: List,
    hand: Option<Page>,
    used: Vec<bool>,
}

impl Sieve {
    pub(super) fn new(capacity: usize, pages: usize) -> Self {
        Self { capacity, queue: List::new(pages), hand: None, used: vec![false; pages] }
    }

    fn evict(&mut self) {
        while let Some(page) = self.hand.or(self.queue.oldest()) {
            self.hand = self.queue.younger(page);
            if !std::mem::take(&mut self.used[page]) {
                self.queue.remove(page);
                return;
            }
        }
    }
}

impl Cache for Sieve {
    fn get(&mut self, page: Page) -> bool {
        self.used[page] = true;
        self.queue.has(page)
    }

    fn put(&mut self, page: Page) {
        if self.queue.has(page) {
            return;
        }
        if self.queue.len() >= self.capacity {
            self.evict();
        }
        self.used[page] = false;
        self.queue.push(page);
    }

    fn remove(&mut self, page: Page, _hit: bool) {
        if self.hand == Some(page) {
            self.hand = self.queue.younger(page);
        }
        self.queue.remove(page);
    }
}
