//! One slab of a size class, and the class's slabs that have a free slot.

use super::class::{SLAB_BYTES, slot_bytes};
use super::open::{Open, Rank};
use crate::key::PAGE_SIZE;
use crate::quota::{OverLimit, Quota};

/// Ends the list of freed slots.
const NONE: u16 = u16::MAX;

/// A slab as it lies between owners: its number, and how many of its pages, from the first, are resident (and charged).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blank {
    pub(super) number: u32,
    pub(super) resident_pages: usize,
}

/// Which slots of a slab are taken. Freed slots form a list through their own first bytes, so that this stays small.
#[derive(Debug)]
struct Slab {
    taken: u16,
    /// Slots handed out at least once; those behind have never been touched by this class.
    begun: u16,
    free_head: u16,
    resident_pages: usize,
}

impl Slab {
    /// Pages that must be resident for the first `slots` slots.
    fn pages_for(slots: u16, class: usize) -> usize {
        (usize::from(slots) * slot_bytes(class)).div_ceil(PAGE_SIZE)
    }

    /// Whether the next slot makes more memory resident.
    fn must_grow(&self, class: usize) -> bool {
        self.free_head == NONE && Self::pages_for(self.begun + 1, class) > self.resident_pages
    }
}

/// The slabs of one class that have a free slot; full ones are known by their entries alone.
#[derive(Debug)]
pub(super) struct Class {
    number: usize,
    /// Slabs of the class, full ones included.
    owned: usize,
    open: Open<Slab>,
}

/// Reads and writes the list links inside freed slots.
pub(super) trait Links {
    /// The link in a freed slot.
    fn read(&self, slab: u32, offset: usize) -> u16;
    /// Sets the link in a slot that is being freed.
    fn write(&self, slab: u32, offset: usize, link: u16);
}

impl Class {
    pub(super) fn new(number: usize) -> Self {
        Self { number, owned: 0, open: Open::default() }
    }

    /// Number of slots of a slab. It fits: the smallest slot is 16 bytes.
    fn slots(&self) -> u16 {
        u16::try_from(SLAB_BYTES / slot_bytes(self.number)).unwrap_or(NONE - 1)
    }

    /// Whether a slab must be [added](Self::add) before the next slot can be taken.
    pub(super) fn is_exhausted(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn add(&mut self, blank: Blank) {
        let slab = Slab { taken: 0, begun: 0, free_head: NONE, resident_pages: blank.resident_pages };
        self.owned += 1;
        self.insert(blank.number, slab);
    }

    /// Takes a slot and returns its slab and its offset in it; pages that become resident are charged.
    ///
    /// `None` when the class is exhausted.
    pub(super) fn take(&mut self, links: &impl Links, quota: &Quota) -> Option<Result<(u32, usize), OverLimit>> {
        let bytes = slot_bytes(self.number);
        let slots = self.slots();
        let ((grows, number), slab) = self.open.first_mut()?;
        let slot = if slab.free_head == NONE {
            if grows {
                let pages = Slab::pages_for(slab.begun + 1, self.number);
                if let Err(over) = quota.try_charge((pages - slab.resident_pages) * PAGE_SIZE) {
                    return Some(Err(over));
                }
                slab.resident_pages = pages;
            }
            slab.begun += 1;
            slab.begun - 1
        } else {
            let slot = slab.free_head;
            slab.free_head = links.read(number, usize::from(slot) * bytes);
            slot
        };
        slab.taken += 1;
        let is_full = slab.taken == slots;
        if is_full || slab.must_grow(self.number) != grows {
            let slab = self.open.pop_first().filter(|_| !is_full);
            slab.into_iter().for_each(|(_, slab)| self.insert(number, slab));
        }
        Some(Ok((number, usize::from(slot) * bytes)))
    }

    /// Frees the slot at `offset` of a slab. A slab that is empty leaves the class.
    pub(super) fn free(&mut self, number: u32, offset: usize, links: &impl Links) -> Option<Blank> {
        let slots = self.slots();
        let known = self.open.remove((false, number)).or_else(|| self.open.remove((true, number)));
        let resident_pages = Slab::pages_for(slots, self.number);
        let mut slab = known.unwrap_or(Slab { taken: slots, begun: slots, free_head: NONE, resident_pages });
        slab.taken -= 1;
        if slab.taken == 0 {
            self.owned -= 1;
            return Some(Blank { number, resident_pages: slab.resident_pages });
        }
        links.write(number, offset, slab.free_head);
        slab.free_head = u16::try_from(offset / slot_bytes(self.number)).unwrap_or(NONE);
        self.insert(number, slab);
        None
    }

    /// Removes a slab of which nothing is taken, left by a [`take`](Self::take) that was over the limit.
    pub(super) fn remove_empty(&mut self) -> Option<Blank> {
        self.open.first_mut().filter(|(_, first)| first.taken == 0)?;
        let ((_, number), slab) = self.open.pop_first()?;
        self.owned -= 1;
        Some(Blank { number, resident_pages: slab.resident_pages })
    }

    /// Numbers, ascending, of the slabs with a free slot whose slots all fit into the others of them. Those others are the
    /// ones that [`take`](Self::take) takes from first.
    pub(super) fn surplus(&self) -> Vec<u32> {
        let taken: usize = self.open.iter().map(|(_, slab)| usize::from(slab.taken)).sum();
        let kept = taken.div_ceil(usize::from(self.slots()));
        let mut numbers: Vec<u32> = self.open.iter().skip(kept).map(|((_, number), _)| number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Hands the pages behind the slots begun to `release`: the slab's number, the first such page, and how many. Returns
    /// how many `release` took.
    pub(super) fn trim(&mut self, mut release: impl FnMut(u32, usize, usize) -> bool) -> usize {
        let mut trimmed = 0;
        let mut before = std::mem::take(&mut self.open);
        while let Some(((_, number), mut slab)) = before.pop_first() {
            let needed = Slab::pages_for(slab.begun, self.number);
            let surplus = slab.resident_pages - needed;
            if surplus > 0 && release(number, needed, surplus) {
                slab.resident_pages = needed;
                trimmed += surplus;
            }
            self.insert(number, slab);
        }
        trimmed
    }

    /// Slots taken, and resident pages.
    pub(super) fn holdings(&self) -> (usize, usize) {
        let slots = self.slots();
        let full = self.owned - self.open.len();
        let of_full = (full * usize::from(slots), full * Slab::pages_for(slots, self.number));
        self.open.iter().fold(of_full, |sum, (_, slab)| (sum.0 + usize::from(slab.taken), sum.1 + slab.resident_pages))
    }

    fn insert(&mut self, number: u32, slab: Slab) {
        let rank: Rank = (slab.must_grow(self.number), number);
        self.open.insert(rank, slab);
    }
}
