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
//! A staged put is a copy and little more, so vCPUs would soon wait for each other's cache lines. Each takes pages of a
//! part of its own, which grows as it needs them until all parts together are as large as the buffer may be; who finds none
//! left there takes another's, until parts of which no page is taken are given back. Address space there is for each part to
//! become the whole buffer:
//!
//! ```text
//!  │ part 0: resident │ not yet …      │ part 1: resident │ not yet …      │ …
//!  └─────── pages of the buffer ───────┘
//! ```
//!
//! Pages are handed out hottest first, so that the buffer is as large as the burst and not as large as it may be. What is
//! resident of it is charged.

mod part;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, Thread};

use crate::backing::Backing;
use crate::caller;
use crate::key::{Key, PAGE_SIZE, Page};
use crate::lock::Lock;
use crate::quota::Quota;

use part::{Pages, Part};

/// Parts of the buffer. With more threads than that, background ones included, some share one.
const PARTS: usize = 8;
/// Pages that become resident at a time: 1 MiB.
const GROWTH_PAGES: u32 = 256;

/// The buffer of one client.
#[derive(Debug)]
pub(crate) struct Staging<B> {
    backing: B,
    /// Most pages that there may be, in all parts together.
    most: u32,
    /// Resident pages of all parts.
    resident: AtomicU32,
    /// Counts the marks: tells what was taken before one from what was taken after.
    turn: AtomicU64,
    /// Whether there is a sleeper.
    sleeps: AtomicBool,
    /// Waits for a page.
    sleeper: Lock<Option<Thread>>,
    parts: Box<[Part]>,
}

/// What the buffer holds, for the invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Pages taken.
    pub(crate) pages: usize,
    /// Bytes resident.
    pub(crate) resident_bytes: usize,
}

impl<B: Backing> Staging<B> {
    /// Address space of a buffer of so many bytes.
    pub(crate) const fn address_bytes(bytes: usize) -> usize {
        let least = if bytes < PAGE_SIZE { PAGE_SIZE } else { bytes };
        least.saturating_mul(PARTS)
    }

    /// A buffer of as many whole pages as these bytes have, in a backing of [`address_bytes`](Self::address_bytes), or of
    /// as many as can be numbered.
    #[expect(clippy::cast_possible_truncation, reason = "there are 8 parts")]
    pub(crate) fn new(backing: B, bytes: usize) -> Self {
        let pages = bytes.min(backing.len() / PARTS) / PAGE_SIZE;
        let most = u32::try_from(pages).unwrap_or(u32::MAX).min(u32::MAX / PARTS as u32);
        Self {
            backing,
            most,
            resident: AtomicU32::new(0),
            turn: AtomicU64::new(0),
            sleeps: AtomicBool::new(false),
            sleeper: Lock::new(None),
            parts: (0..PARTS as u32).map(|part| Part::new(part * most)).collect(),
        }
    }

    /// Takes a page for what is put under `key`, if one is free and the client is far enough from its limit: what is
    /// staged must find room when it is compressed, so as much as the whole buffer is left alone.
    pub(crate) fn take(&self, key: Key, quota: &Quota) -> Option<u32> {
        self.take_as(caller::number(), key, quota)
    }

    /// The same for the thread of this number.
    fn take_as(&self, thread: usize, key: Key, quota: &Quota) -> Option<u32> {
        if self.most == 0 || quota.left() < self.bytes() {
            return None;
        }
        let (before, from_own) = self.parts.split_at(thread % PARTS);
        let (own, after) = from_own.split_first()?;
        let page = own.with(|pages| {
            self.grow_if_exhausted(pages, quota);
            pages.take(key, || self.turn())
        });
        let of_another = || {
            let mut others = after.iter().chain(before).filter(|part| part.has_free());
            others.find_map(|part| part.with(|pages| pages.take(key, || self.turn())))
        };
        let page = page.or_else(of_another)?;
        if self.sleeps.load(Ordering::Relaxed) {
            self.wake();
        }
        Some(page)
    }

    /// Makes the next pages of a part resident with one system call, if it has none left: the faults cost more than the
    /// copies that make them. What they take is not what is left alone.
    fn grow_if_exhausted(&self, pages: &mut Pages, quota: &Quota) {
        let Some(first) = pages.ends_at() else { return };
        if quota.left() < self.bytes() + u64::from(GROWTH_PAGES.min(self.most)) * PAGE_SIZE as u64 {
            return;
        }
        let growth = |resident: u32| GROWTH_PAGES.min(self.most - resident);
        let grown = |resident: u32| Some(resident + growth(resident)).filter(|grown| *grown > resident);
        let Ok(before) = self.resident.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown) else { return };
        let count = growth(before);
        let bytes = count as usize * PAGE_SIZE;
        if quota.try_charge(bytes).is_err() {
            self.resident.fetch_sub(count, Ordering::Relaxed);
            return;
        }
        // Where Linux is too old for that they are touched soon all the same.
        let _ = self.backing.populate(first as usize * PAGE_SIZE, bytes);
        pages.grow(count);
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
        self.part_of(page).with(|pages| pages.give(page));
    }

    /// Takes the pages off the queues one by one that were taken before `mark`, and what they were put under: of one part
    /// after the other the oldest.
    pub(crate) fn queued(&self, mark: u64) -> impl Iterator<Item = (u32, Key)> {
        let mut parts = self.parts.iter().cycle();
        std::iter::from_fn(move || {
            let mut queued = parts.by_ref().take(PARTS).filter(|part| part.has_queued());
            queued.find_map(|part| part.with(|pages| pages.next(mark)))
        })
    }

    /// Puts a page back into the queue as the newest, if it is still taken.
    pub(crate) fn requeue(&self, page: u32) {
        self.part_of(page).with(|pages| pages.requeue(page, || self.turn()));
    }

    /// Tells the takes so far from those to come.
    pub(crate) fn mark(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Pages taken, and pages that there may be.
    pub(crate) fn fill(&self) -> (usize, usize) {
        (self.parts.iter().map(|part| part.taken() as usize).sum(), self.most as usize)
    }

    /// Sleeps until a page is taken. May return before.
    pub(crate) fn wait(&self) {
        *self.sleeper.lock() = Some(thread::current());
        self.sleeps.store(true, Ordering::Relaxed);
        // A page that is not seen here is taken under the part's lock after this, and so by a thread that sees the sleeper.
        if self.parts.iter().all(|part| part.with(|pages| pages.taken()) == 0) {
            thread::park();
        }
        self.sleeps.store(false, Ordering::Relaxed);
        *self.sleeper.lock() = None;
    }

    #[cold]
    fn wake(&self) {
        self.sleeps.store(false, Ordering::Relaxed);
        if let Some(sleeper) = self.sleeper.lock().take() {
            sleeper.unpark();
        }
    }

    /// Gives the memory of all parts back to the host of which no page is taken. Returns the bytes.
    pub(crate) fn release(&self, quota: &Quota) -> usize {
        let pages: u32 = self.parts.iter().map(|part| self.release_part(part)).sum();
        self.resident.fetch_sub(pages, Ordering::Relaxed);
        let bytes = pages as usize * PAGE_SIZE;
        quota.refund(bytes);
        bytes
    }

    /// Returns the pages that it gave back.
    fn release_part(&self, part: &Part) -> u32 {
        let Some((first, count)) = part.with(Pages::close) else { return 0 };
        // SAFETY: no page of the part is taken, and none will be before it is open again.
        let released = unsafe { self.backing.release(first as usize * PAGE_SIZE, count as usize * PAGE_SIZE) };
        if released.is_ok() {
            part.with(Pages::begin_anew);
            count
        } else {
            // Locked memory cannot be given back: it stays resident, charged, and usable.
            part.with(Pages::open);
            0
        }
    }

    /// What is taken and what is resident. Exact while nobody else uses the buffer.
    pub(crate) fn holdings(&self) -> Holdings {
        let parts = self.parts.iter().map(|part| part.with(|pages| (pages.taken(), pages.resident())));
        let (taken, resident) = parts.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        Holdings { pages: taken as usize, resident_bytes: resident as usize * PAGE_SIZE }
    }

    /// Bytes of the whole buffer.
    fn bytes(&self) -> u64 {
        u64::from(self.most) * PAGE_SIZE as u64
    }

    fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    fn part_of(&self, page: u32) -> &Part {
        &self.parts[(page / self.most) as usize]
    }

    fn at(&self, page: u32) -> *mut Page {
        let offset = page as usize * PAGE_SIZE;
        debug_assert!(offset < self.backing.len());
        // SAFETY: pages are numbered below as many as all parts have, which the backing has room for, and it is aligned to
        // a page.
        unsafe { self.backing.base().as_ptr().add(offset).cast() }
    }
}
