//! Guest memory of one page, with frames that fail.

use std::cell::{Cell, RefCell};

use tmem::{BadFrame, Client, GuestPages, Key, PAGE_SIZE, Page, Status};

/// The frame that works.
pub const GOOD: u64 = 7;
/// A frame that is not memory.
pub const BAD: u64 = 1 << 52;

/// One page of guest memory.
pub struct Guest {
    page: RefCell<Page>,
    writes: Cell<usize>,
}

impl Guest {
    /// Memory that holds `page`.
    pub fn with(page: Page) -> Self {
        Self { page: RefCell::new(page), writes: Cell::new(0) }
    }

    /// Memory to load into.
    pub fn blank() -> Self {
        Self::with([0xee; PAGE_SIZE])
    }

    /// What is in it.
    pub fn page(&self) -> Page {
        *self.page.borrow()
    }

    /// How often a page arrived.
    pub fn writes(&self) -> usize {
        self.writes.get()
    }
}

impl GuestPages for Guest {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        if frame != GOOD {
            // A copy that fails half way leaves half a page.
            into[..100].fill(0xdd);
            return Err(BadFrame);
        }
        *into = *self.page.borrow();
        Ok(())
    }

    fn write_page(&self, frame: u64, from: &Page) -> Result<(), BadFrame> {
        if frame != GOOD {
            return Err(BadFrame);
        }
        *self.page.borrow_mut() = *from;
        self.writes.set(self.writes.get() + 1);
        Ok(())
    }
}

/// Puts `page` from memory that works.
pub fn put(client: &Client, key: Key, page: Page) -> Status {
    client.put(key, GOOD, &Guest::with(page))
}

/// Gets a page into memory that works; the page where the answer is `OK`.
pub fn get(client: &Client, key: Key, exclusive: bool) -> Result<Page, Status> {
    let guest = Guest::blank();
    match client.get(key, GOOD, exclusive, &guest) {
        Status::Ok => Ok(guest.page()),
        status => Err(status),
    }
}
