//! What the guest took back goes first, then the oldest: the guest has a copy of its own now, and when it drops that, it
//! will put it again.

use super::list::List;
use super::{Cache, Page};

pub(super) struct UsedFirst {
    capacity: usize,
    used: List,
    rest: List,
}

impl UsedFirst {
    pub(super) fn new(capacity: usize, pages: usize) -> Self {
        Self { capacity, used: List::new(pages), rest: List::new(pages) }
    }
}

impl Cache for UsedFirst {
    fn get(&mut self, page: Page) -> bool {
        if self.rest.remove(page) {
            self.used.push(page);
        }
        self.used.has(page)
    }

    fn put(&mut self, page: Page) {
        self.remove(page, false);
        if self.used.len() + self.rest.len() >= self.capacity && self.used.pop().is_none() {
            self.rest.pop();
        }
        self.rest.push(page);
    }

    fn remove(&mut self, page: Page, _hit: bool) {
        self.used.remove(page);
        self.rest.remove(page);
    }
}
