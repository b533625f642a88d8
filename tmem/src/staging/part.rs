//! One part of the staging buffer: which of its pages are taken, and the order in which they were.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::key::Key;
use crate::lock::Lock;

/// A part, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Part {
    pages: Lock<Pages>,
    /// Some numbers of the last change, to be had without the lock.
    resident: AtomicU32,
    taken: AtomicU32,
    queued: AtomicU32,
}

impl Part {
    /// A part whose pages are numbered from `first` on, without any.
    pub(super) fn new(first: u32) -> Self {
        let [resident, taken, queued] = Default::default();
        Self { pages: Lock::new(Pages::new(first)), resident, taken, queued }
    }

    /// Looks at the part's pages, or changes them.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Pages) -> T) -> T {
        let mut pages = self.pages.lock();
        let result = change(&mut pages);
        self.resident.store(pages.resident, Ordering::Relaxed);
        self.taken.store(pages.taken(), Ordering::Relaxed);
        self.queued.store(u32::try_from(pages.queue.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        result
    }

    /// Pages taken when it was last changed.
    pub(super) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether a page was free when it was last changed.
    pub(super) fn has_free(&self) -> bool {
        self.taken() < self.resident.load(Ordering::Relaxed)
    }

    /// Whether the queue had a page when it was last changed.
    pub(super) fn has_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed) > 0
    }
}

/// The pages of a part, from its first on, as far as they are resident.
#[derive(Debug)]
pub(super) struct Pages {
    /// Number of the part's first page.
    first: u32,
    /// So many are resident and charged.
    resident: u32,
    /// Those that were handed out since memory was last given back.
    begun: Vec<State>,
    /// Numbers of those that are not taken; the hottest last.
    free: Vec<u32>,
    /// Memory is being given back, and no page may be taken.
    closed: bool,
    /// To be compressed, oldest first, with the turn in which they were taken.
    queue: VecDeque<(u64, u32)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// What the page was put under, while it is taken.
    key: Option<Key>,
    queued: bool,
}

impl Pages {
    const fn new(first: u32) -> Self {
        Self { first, resident: 0, begun: Vec::new(), free: Vec::new(), closed: false, queue: VecDeque::new() }
    }

    /// Number of the first page that is not resident, where all that are have been taken: the part must grow.
    pub(super) fn ends_at(&self) -> Option<u32> {
        let exhausted = self.free.is_empty() && self.begun.len() == self.resident as usize && !self.closed;
        exhausted.then_some(self.first + self.resident)
    }

    /// So many pages more are resident. They have room in all lists from now on.
    pub(super) fn grow(&mut self, pages: u32) {
        self.resident += pages;
        let all = self.resident as usize;
        self.begun.reserve_exact(all - self.begun.len());
        self.free.reserve_exact(all - self.free.len());
        self.queue.reserve_exact(all - self.queue.len());
    }

    /// Takes the hottest page, in the turn that `turn` says.
    pub(super) fn take(&mut self, key: Key, turn: impl FnOnce() -> u64) -> Option<u32> {
        if self.closed {
            return None;
        }
        let page = self.free.pop().or_else(|| self.begin())?;
        self.page(page).key = Some(key);
        self.enqueue(page, turn());
        Some(page)
    }

    /// Numbers the next page that was not touched.
    fn begin(&mut self) -> Option<u32> {
        let next = u32::try_from(self.begun.len()).ok().filter(|next| *next < self.resident)?;
        self.begun.push(State::default());
        Some(self.first + next)
    }

    pub(super) fn give(&mut self, page: u32) {
        self.page(page).key = None;
        self.free.push(page);
    }

    /// Takes the oldest page off the queue, and what it was put under. Only those of turns before `mark`.
    pub(super) fn next(&mut self, mark: u64) -> Option<(u32, Key)> {
        while self.queue.front().is_some_and(|(turn, _)| *turn < mark) {
            let (_, number) = self.queue.pop_front()?;
            let page = self.page(number);
            page.queued = false;
            if let Some(key) = page.key {
                return Some((number, key));
            }
        }
        None
    }

    /// Puts a page back into the queue as the newest, if it is still taken. Its memory may have been given back meanwhile.
    pub(super) fn requeue(&mut self, page: u32, turn: impl FnOnce() -> u64) {
        if self.begun.get((page - self.first) as usize).is_some_and(|page| page.key.is_some()) {
            self.enqueue(page, turn());
        }
    }

    /// A page that is queued already keeps its older place.
    fn enqueue(&mut self, page: u32, turn: u64) {
        if !std::mem::replace(&mut self.page(page).queued, true) {
            self.queue.push_back((turn, page));
        }
    }

    /// Lets no page be taken from now on, if none is. Returns the number of the first, and how many can be given back.
    pub(super) fn close(&mut self) -> Option<(u32, u32)> {
        let idle = !self.closed && self.resident > 0 && self.taken() == 0;
        self.closed |= idle;
        idle.then_some((self.first, self.resident))
    }

    /// Lets pages be taken again.
    pub(super) fn open(&mut self) {
        self.closed = false;
    }

    /// The same, once the part's memory is given back: nothing is left of what it was.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::new(self.first);
    }

    pub(super) fn resident(&self) -> u32 {
        self.resident
    }

    #[expect(clippy::cast_possible_truncation, reason = "no more begun than resident")]
    pub(super) fn taken(&self) -> u32 {
        (self.begun.len() - self.free.len()) as u32
    }

    fn page(&mut self, page: u32) -> &mut State {
        &mut self.begun[(page - self.first) as usize]
    }
}
