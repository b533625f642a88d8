//! First in, first out, with as many more chances as a page was used since.

use super::list::List;
use super::{Cache, Page};

pub(super) struct Clock {
    capacity: usize,
    most: u8,
    queue: List,
    uses: Vec<u8>,
}

impl Clock {
    /// `most`: most uses that count; with none it is plain FIFO.
    pub(super) fn new(capacity: usize, pages: usize, most: u8) -> Self {
        Self { capacity, most, queue: List::new(pages), uses: vec![0; pages] }
    }
}

impl Cache for Clock {
    fn get(&mut self, page: Page) -> bool {
        self.uses[page] = self.most.min(self.uses[page] + 1);
        self.queue.has(page)
    }

    fn put(&mut self, page: Page) {
        if self.queue.has(page) {
            return;
        }
        while self.queue.len() >= self.capacity {
            let Some(oldest) = self.queue.pop() else { break };
            if self.uses[oldest] > 0 {
                self.uses[oldest] -= 1;
                self.queue.push(oldest);
            }
        }
        self.uses[page] = 0;
        self.queue.push(page);
    }

    fn remove(&mut self, page: Page, _hit: bool) {
        self.queue.remove(page);
    }
}
