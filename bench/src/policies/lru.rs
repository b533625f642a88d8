//! The page that was put or asked for the longest ago goes.

use super::list::List;
use super::{Cache, Page};

pub(super) struct Lru {
    capacity: usize,
    queue: List,
}

impl Lru {
    pub(super) fn new(capacity: usize, pages: usize) -> Self {
        Self { capacity, queue: List::new(pages) }
    }
}

impl Cache for Lru {
    fn get(&mut self, page: Page) -> bool {
        let here = self.queue.remove(page);
        if here {
            self.queue.push(page);
        }
        here
    }

    fn put(&mut self, page: Page) {
        self.queue.remove(page);
        if self.queue.len() >= self.capacity {
            self.queue.pop();
        }
        self.queue.push(page);
    }

    fn remove(&mut self, page: Page, _hit: bool) {
        self.queue.remove(page);
    }
}
