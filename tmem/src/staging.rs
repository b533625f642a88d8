//! The staging buffer: pages as the guest put them, until there is time to compress them.
//!
//! ```text
//!  put ──► page of the buffer, under its key ──► compress_staged ──► arena
//!                 └── replaced, taken or flushed before: never compressed
//! ```
//!
//! A page of the buffer belongs to whoever [took](Staging::take) it until it is in the index, and to its entry from then
//! on; so the rules of the index say when it may be [given](Staging::give) back, as they do for a slot of the arena. The
//! queue says what to compress next and nothing more: it holds a page at most once, and may hold one that is free again.
//!
//! Pages are handed out hottest first, so that the buffer is as large as the burst and not as large as it may be. What is
//! resident of it is charged.

use std::collections::VecDeque;
use std::thread::{self, Thread};

use crate::backing::Backing;
use crate::key::{Key, PAGE_SIZE, Page};
use crate::lock::Lock;
use crate::quota::Quota;

/// Pages that become resident at a time: 1 MiB.
const GROWTH_PAGES: u32 = 256;

/// The buffer of one client.
#[derive(Debug)]
pub(crate) struct Staging<B> {
    backing: B,
    state: Lock<State>,
}

/// What the buffer holds, for the invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Pages taken.
    pub(crate) pages: usize,
    /// Bytes resident.
    pub(crate) resident_bytes: usize,
}

#[derive(Debug)]
struct State {
    /// Pages of the buffer by number, as far as they were ever touched.
    pages: Vec<PageState>,
    /// Most pages that there may be.
    most: u32,
    /// The pages below this are resident and charged.
    resident: u32,
    /// The pages below this were handed out since memory was last given back.
    begun: u32,
    /// Of those, the ones that are not taken; the hottest last.
    free: Vec<u32>,
    /// Memory is being given back, and no page may be taken.
    closed: bool,
    /// To be compressed, oldest first, with the number of the take.
    queue: VecDeque<(u64, u32)>,
    takes: u64,
    /// Waits for a page.
    sleeper: Option<Thread>,
}

#[derive(Clone, Copy, Debug, Default)]
struct PageState {
    /// What the page was put under, while it is taken.
    key: Option<Key>,
    queued: bool,
}

impl<B: Backing> Staging<B> {
    /// A buffer of as many whole pages as the backing has, or as many as can be numbered.
    pub(crate) fn new(backing: B, bytes: usize) -> Self {
        let most = u32::try_from(bytes.min(backing.len()) / PAGE_SIZE).unwrap_or(u32::MAX);
        let state = State {
            pages: Vec::new(),
            most,
            resident: 0,
            begun: 0,
            free: Vec::new(),
            closed: false,
            queue: VecDeque::new(),
            takes: 0,
            sleeper: None,
        };
        Self { backing, state: Lock::new(state) }
    }

    /// Takes a page for what is put under `key`, if one is free and the client is far enough from its limit: what is
    /// staged must find room when it is compressed, so as much as the whole buffer is left alone.
    pub(crate) fn take(&self, key: Key, quota: &Quota) -> Option<u32> {
        let mut state = self.state.lock();
        if state.most == 0 || state.closed || quota.left() < state.bytes() {
            return None;
        }
        let page = match state.free.pop() {
            Some(page) => page,
            None if state.begun < state.most => {
                if state.begun == state.resident {
                    self.grow(&mut state, quota)?;
                }
                state.begin()
            }
            None => return None,
        };
        state.page(page).key = Some(key);
        state.enqueue(page);
        let sleeper = state.sleeper.take();
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.unpark();
        }
        Some(page)
    }

    /// Makes the next pages resident with one system call: the faults cost more than the copies that make them. What they
    /// take is not what is left alone.
    fn grow(&self, state: &mut State, quota: &Quota) -> Option<()> {
        let count = GROWTH_PAGES.min(state.most - state.resident);
        let (first, bytes) = (state.resident as usize * PAGE_SIZE, count as usize * PAGE_SIZE);
        if quota.left() < state.bytes() + bytes as u64 {
            return None;
        }
        quota.try_charge(bytes).ok()?;
        // Where Linux is too old for that they are touched soon all the same.
        let _ = self.backing.populate(first, bytes);
        state.resident += count;
        Some(())
    }

    /// The contents of a page, to be filled.
    ///
    /// # Safety
    /// The caller took the page and has neither entered it into the index nor given it back.
    #[expect(clippy::mut_from_ref, reason = "the page is the caller's alone")]
    pub(crate) unsafe fn page_mut(&self, page: u32) -> &mut Page {
        // SAFETY: the page lies inside the backing, and is the caller's alone.
        unsafe { &mut *self.at(page) }
    }

    /// The contents of a page.
    ///
    /// # Safety
    /// The page is taken, and is neither written nor given back while the contents are in use.
    pub(crate) unsafe fn page(&self, page: u32) -> &Page {
        // SAFETY: the page lies inside the backing, and nobody writes it.
        unsafe { &*self.at(page) }
    }

    /// Gives a page back that nobody reads any more.
    pub(crate) fn give(&self, page: u32) {
        let mut state = self.state.lock();
        state.page(page).key = None;
        state.free.push(page);
    }

    /// Takes the oldest page off the queue, and what it was put under. Only those taken before `mark`.
    pub(crate) fn next(&self, mark: u64) -> Option<(u32, Key)> {
        let mut state = self.state.lock();
        while state.queue.front().is_some_and(|(take, _)| *take < mark) {
            let (_, page) = state.queue.pop_front()?;
            state.page(page).queued = false;
            if let Some(key) = state.page(page).key {
                return Some((page, key));
            }
        }
        None
    }

    /// Puts a page back into the queue as the newest, if it is still taken.
    pub(crate) fn requeue(&self, page: u32) {
        let mut state = self.state.lock();
        if state.page(page).key.is_some() {
            state.enqueue(page);
        }
    }

    /// Tells the takes so far from those to come.
    pub(crate) fn mark(&self) -> u64 {
        self.state.lock().takes
    }

    /// Pages taken, and pages that there may be.
    pub(crate) fn fill(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.taken(), state.most as usize)
    }

    /// Sleeps until a page is taken. May return before.
    pub(crate) fn wait(&self) {
        {
            let mut state = self.state.lock();
            if state.taken() > 0 {
                return;
            }
            state.sleeper = Some(thread::current());
        }
        thread::park();
        self.state.lock().sleeper = None;
    }

    /// Gives the buffer's memory back to the host, if no page is taken. Returns the bytes.
    pub(crate) fn release(&self, quota: &Quota) -> usize {
        let pages = {
            let mut state = self.state.lock();
            if state.closed || state.resident == 0 || state.taken() > 0 {
                return 0;
            }
            state.closed = true;
            state.resident as usize
        };
        let bytes = pages * PAGE_SIZE;
        // SAFETY: no page is taken, and none will be before `closed` is off again.
        let released = unsafe { self.backing.release(0, bytes) };
        let mut state = self.state.lock();
        state.closed = false;
        if released.is_err() {
            // Locked memory cannot be given back: it stays resident, charged, and usable.
            return 0;
        }
        state.resident = 0;
        state.begun = 0;
        state.free.clear();
        quota.refund(bytes);
        bytes
    }

    /// What is taken and what is resident. Exact while nobody else uses the buffer.
    pub(crate) fn holdings(&self) -> Holdings {
        let state = self.state.lock();
        Holdings { pages: state.taken(), resident_bytes: state.resident as usize * PAGE_SIZE }
    }

    fn at(&self, page: u32) -> *mut Page {
        let offset = page as usize * PAGE_SIZE;
        debug_assert!(offset < self.backing.len());
        // SAFETY: pages are numbered below `most`, which the backing has room for, and it is aligned to a page.
        unsafe { self.backing.base().as_ptr().add(offset).cast() }
    }
}

impl State {
    /// Bytes of the whole buffer.
    fn bytes(&self) -> u64 {
        u64::from(self.most) * PAGE_SIZE as u64
    }

    /// Numbers the next page that was not touched.
    fn begin(&mut self) -> u32 {
        let page = self.begun;
        self.begun += 1;
        if self.pages.len() < self.begun as usize {
            self.pages.push(PageState::default());
        }
        page
    }

    fn page(&mut self, page: u32) -> &mut PageState {
        &mut self.pages[page as usize]
    }

    /// A page that is queued already keeps its older place.
    fn enqueue(&mut self, page: u32) {
        let take = self.takes;
        self.takes += 1;
        if !std::mem::replace(&mut self.page(page).queued, true) {
            self.queue.push_back((take, page));
        }
    }

    fn taken(&self) -> usize {
        self.begun as usize - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::Heap;
    use crate::key::ObjectId;

    const PAGES: usize = 4;

    fn staging() -> (Staging<Heap>, Quota) {
        (Staging::new(Heap::new(PAGES * PAGE_SIZE), PAGES * PAGE_SIZE), Quota::new(1 << 20, 0))
    }

    fn key(index: u32) -> Key {
        Key { pool: 1, object: ObjectId([0; 3]), index }
    }

    #[test]
    fn a_full_buffer_has_no_page() {
        let (staging, quota) = staging();
        let taken: Vec<_> = (0..9).filter_map(|index| staging.take(key(index), &quota)).collect();
        assert_eq!(taken.len(), PAGES);
        assert_eq!(quota.used(), (PAGES * PAGE_SIZE) as u64);
        staging.give(taken[2]);
        assert_eq!(staging.take(key(9), &quota), Some(taken[2]));
    }

    #[test]
    fn near_the_limit_nothing_is_staged() {
        let (staging, quota) = staging();
        let buffer = (PAGES * PAGE_SIZE) as u64;
        quota.set_limit(2 * buffer - 1);
        assert_eq!(staging.take(key(0), &quota), None, "the buffer itself and as much again");
        quota.set_limit(2 * buffer);
        let page = staging.take(key(0), &quota).unwrap();
        staging.give(page);
        quota.set_limit(2 * buffer - 1);
        assert_eq!(staging.take(key(0), &quota), None);
    }

    #[test]
    fn pages_come_in_the_order_in_which_they_were_taken_and_freed_ones_do_not() {
        let (staging, quota) = staging();
        let taken: Vec<_> = (0..3).map(|index| staging.take(key(index), &quota).unwrap()).collect();
        let mark = staging.mark();
        let late = staging.take(key(3), &quota).unwrap();
        staging.give(taken[1]);
        assert_eq!(staging.next(mark), Some((taken[0], key(0))));
        assert_eq!(staging.next(mark), Some((taken[2], key(2))));
        assert_eq!(staging.next(mark), None);
        staging.requeue(taken[0]);
        assert_eq!(staging.next(u64::MAX), Some((late, key(3))));
        assert_eq!(staging.next(u64::MAX), Some((taken[0], key(0))));
        assert_eq!(staging.next(u64::MAX), None);
    }

    #[test]
    fn a_page_that_is_used_again_is_queued_once() {
        let (staging, quota) = staging();
        for index in 0..1000 {
            let page = staging.take(key(index), &quota).unwrap();
            staging.give(page);
        }
        let page = staging.take(key(7), &quota).unwrap();
        assert_eq!(staging.state.lock().queue.len(), 1);
        assert_eq!(staging.next(u64::MAX), Some((page, key(7))));
    }

    #[test]
    fn memory_goes_back_when_nothing_is_staged() {
        let (staging, quota) = staging();
        let page = staging.take(key(0), &quota).unwrap();
        assert_eq!(staging.release(&quota), 0);
        staging.give(page);
        assert_eq!(staging.release(&quota), PAGES * PAGE_SIZE);
        assert_eq!((quota.used(), staging.release(&quota)), (0, 0));
        // Queued from before it was given back.
        assert_eq!(staging.take(key(1), &quota), Some(page));
        assert_eq!(staging.next(u64::MAX), Some((page, key(1))));
    }

    #[test]
    fn a_take_wakes_who_waits() {
        let (staging, quota) = staging();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                while staging.fill().0 == 0 {
                    staging.wait();
                }
            });
            while staging.state.lock().sleeper.is_none() {
                thread::yield_now();
            }
            assert_eq!(staging.take(key(0), &quota), Some(0));
            waiter.join().unwrap();
        });
    }
}
