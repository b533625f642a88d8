//! Where page data lies: one reserved range of addresses, cut into slabs, each cut into slots of one size.
//!
//! ```text
//!  arena  │ slab 0 │ slab 1 │ slab 2 │ …  reserved, not resident
//!  slab   │ slot │ slot │ slot │ …        one size class, one kind of pool
//! ```
//!
//! The two kinds never share a slab: evicting all ephemeral pages then gives all their memory back.
//!
//! What is charged is what is resident: a page of a slab from its first use on, until the slab is empty and was given
//! back. So the account agrees with the process's resident memory, and a slot freed by one put is free of charge for the
//! next. Empty slabs wait in a small reserve, so that puts and gets at a slab's edge make no system call each.
//!
//! Lock order: a class, then the pool of slabs.

mod class;
mod evacuation;
mod open;
mod reserve;
mod slab;
#[cfg(test)]
mod tests;

use crate::backing::{Backing, Mapping};
use crate::key::{PAGE_SIZE, PoolKind};
use crate::lock::Lock;
use crate::quota::Quota;

use class::{CLASSES, SLAB_BYTES, UNIT_BYTES, class_of, slot_bytes};
pub(crate) use evacuation::Evacuation;
use reserve::Reserve;
use slab::{Blank, Class, Links};

/// Largest arena that a place can address: 2³⁶ units.
pub(crate) const ARENA_BYTES_MAX: u64 = (UNIT_BYTES as u64) << 36;
/// Smallest arena: one slab.
pub(crate) const ARENA_BYTES_MIN: u64 = SLAB_BYTES as u64;
const UNITS_PER_SLAB: u64 = (SLAB_BYTES / UNIT_BYTES) as u64;

/// Memory is made resident ahead of its use only where the limit leaves as many times more.
const AHEAD_PER_LEFT: usize = 8;

/// A piece of the arena that holds the bytes of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    place: u64,
    len: usize,
}

impl Slot {
    /// The slot of `len` bytes at `place`, in units from the arena's start.
    pub(crate) const fn new(place: u64, len: usize) -> Self {
        Self { place, len }
    }

    pub(crate) const fn place(self) -> u64 {
        self.place
    }

    /// Bytes stored.
    pub(crate) const fn len(self) -> usize {
        self.len
    }

    /// Bytes taken.
    pub(crate) fn room(self) -> usize {
        slot_bytes(class_of(self.len))
    }

    /// The slab, and the offset in it in bytes.
    #[allow(clippy::cast_possible_truncation, reason = "a place has 36 bits, 12 of them inside the slab")]
    fn position(self) -> (u32, usize) {
        ((self.place / UNITS_PER_SLAB) as u32, (self.place % UNITS_PER_SLAB) as usize * UNIT_BYTES)
    }
}

/// Why bytes could not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The client's limit forbids it.
    OverLimit,
    /// The range of addresses is full.
    ArenaFull,
}

/// The memory for one client's page data.
#[derive(Debug)]
pub(crate) struct Arena<B = Mapping> {
    memory: Memory<B>,
    classes: [Vec<Apart<Lock<Class>>>; 2],
    reserve: Lock<Reserve>,
}

/// On cache lines of its own: vCPUs that put pages of different sizes do not meet.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

/// What the arena holds, for the invariants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Slots taken.
    pub(crate) slots: usize,
    /// Bytes resident.
    pub(crate) resident_bytes: usize,
}

impl<B: Backing> Arena<B> {
    pub(crate) fn new(backing: B) -> Self {
        let slabs = u32::try_from(backing.len() / SLAB_BYTES).unwrap_or(u32::MAX);
        let classes = || (0..CLASSES).map(|number| Apart(Lock::new(Class::new(number)))).collect();
        Self { memory: Memory { backing }, classes: [classes(), classes()], reserve: Lock::new(Reserve::new(slabs)) }
    }

    /// Stores `bytes`, at least one and at most a page of them.
    pub(crate) fn store(&self, kind: PoolKind, bytes: &[u8], quota: &Quota) -> Result<Slot, NoRoom> {
        let class_number = class_of(bytes.len());
        let mut ahead = Vec::new();
        let (number, offset) = {
            let mut class = self.class(kind, class_number).lock();
            if class.is_exhausted() {
                let mut reserve = self.reserve.lock();
                class.add(reserve.take().ok_or(NoRoom::ArenaFull)?);
                ahead = reserve.take_ahead();
            }
            match class.take(&self.memory, quota) {
                Some(Ok(position)) => position,
                Some(Err(_)) | None => {
                    let mut reserve = self.reserve.lock();
                    class.remove_empty().into_iter().for_each(|blank| reserve.give(blank));
                    if !ahead.is_empty() {
                        ahead.into_iter().for_each(|number| reserve.give(Blank { number, resident_pages: 0 }));
                        reserve.has_grown();
                    }
                    return Err(NoRoom::OverLimit);
                }
            }
        };
        if !ahead.is_empty() {
            self.populate(&ahead, quota);
        }
        let slot = Slot::new(u64::from(number) * UNITS_PER_SLAB + (offset / UNIT_BYTES) as u64, bytes.len());
        let start = self.memory.at(number, offset);
        // SAFETY: the slot was just taken, so nobody else reads or writes it, and it is as long as its class says.
        unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(slot)
    }

    /// The bytes in `slot`.
    ///
    /// # Safety
    /// The slot came from [`store`](Self::store) and is not freed while the bytes are in use.
    pub(crate) unsafe fn bytes(&self, slot: Slot) -> &[u8] {
        let (number, offset) = slot.position();
        // SAFETY: `store` filled the slot, nothing writes it until it is freed, and the caller keeps it until then.
        unsafe { std::slice::from_raw_parts(self.memory.at(number, offset), slot.len()) }
    }

    /// Frees `slot`; a slab that is empty by this is kept for the next put or given back.
    ///
    /// # Safety
    /// The slot came from [`store`](Self::store) for this `kind`, is freed once, and nobody reads it any more.
    pub(crate) unsafe fn free(&self, kind: PoolKind, slot: Slot, quota: &Quota) {
        let (number, offset) = slot.position();
        let blank = self.class(kind, class_of(slot.len())).lock().free(number, offset, &self.memory);
        if let Some(blank) = blank {
            let surplus = {
                let mut reserve = self.reserve.lock();
                reserve.give(blank);
                reserve.take_surplus()
            };
            self.give_back(surplus, quota);
        }
    }

    /// Gives empty slabs back to the host until that is `enough` bytes, and returns the bytes.
    pub(crate) fn release_idle(&self, enough: usize, quota: &Quota) -> usize {
        let idle = self.reserve.lock().take_idle(enough);
        self.give_back(idle, quota)
    }

    /// Gives back to the host what slabs in use have not begun to use, and returns the bytes. For idle moments: it goes
    /// over all classes.
    pub(crate) fn trim(&self, quota: &Quota) -> usize {
        let release = |number: u32, first: usize, count: usize| {
            let offset = number as usize * SLAB_BYTES + first * PAGE_SIZE;
            // SAFETY: the pages lie behind every slot that was handed out, and the class's lock is held, so none will be.
            unsafe { self.memory.backing.release(offset, count * PAGE_SIZE) }.is_ok()
        };
        let trimmed: usize = self.classes.iter().flatten().map(|class| class.0.lock().trim(release)).sum();
        quota.refund(trimmed * PAGE_SIZE);
        trimmed * PAGE_SIZE
    }

    /// What is taken and what is resident. Exact while nobody else uses the arena.
    pub(crate) fn holdings(&self) -> Holdings {
        let classes = self.classes.iter().flatten().map(|class| class.0.lock().holdings());
        let (slots, pages) = classes.fold((0, 0), |sum, class| (sum.0 + class.0, sum.1 + class.1));
        let idle_pages = self.reserve.lock().resident_pages();
        Holdings { slots, resident_bytes: (pages + idle_pages) * PAGE_SIZE }
    }

    fn class(&self, kind: PoolKind, class: usize) -> &Lock<Class> {
        &self.classes[kind as usize][class].0
    }

    /// Makes blank slabs resident, in as few calls as they allow: each page fault that this saves costs a tenth of a put.
    fn populate(&self, slabs: &[u32], quota: &Quota) {
        const PAGES: usize = SLAB_BYTES / PAGE_SIZE;
        let bytes = slabs.len() * SLAB_BYTES;
        // Near the limit memory is charged as it is needed.
        let charged = quota.left() >= (AHEAD_PER_LEFT * bytes) as u64 && quota.try_charge(bytes).is_ok();
        for run in slabs.chunk_by(|a, b| a + 1 == *b) {
            let resident =
                charged && self.memory.backing.populate(run[0] as usize * SLAB_BYTES, run.len() * SLAB_BYTES).is_ok();
            if charged && !resident {
                quota.refund(run.len() * SLAB_BYTES);
            }
            let resident_pages = if resident { PAGES } else { 0 };
            let mut reserve = self.reserve.lock();
            run.iter().for_each(|number| reserve.give(Blank { number: *number, resident_pages }));
        }
        self.reserve.lock().has_grown();
    }

    /// Gives runs of slabs back in as few calls as they allow.
    fn give_back(&self, mut slabs: Vec<Blank>, quota: &Quota) -> usize {
        slabs.sort_unstable_by_key(|slab| slab.number);
        let mut freed = 0;
        for run in slabs.chunk_by(|a, b| a.number + 1 == b.number) {
            let offset = run[0].number as usize * SLAB_BYTES;
            // SAFETY: the slabs of the run are contiguous, empty, and out of the reserve, so nobody else has them.
            let released = unsafe { self.memory.backing.release(offset, run.len() * SLAB_BYTES) };
            let bytes = run.iter().map(|slab| slab.resident_pages).sum::<usize>() * PAGE_SIZE;
            let mut reserve = self.reserve.lock();
            if released.is_ok() {
                quota.refund(bytes);
                freed += bytes;
                run.iter().for_each(|slab| reserve.give(Blank { resident_pages: 0, ..*slab }));
            } else {
                // Locked memory cannot be given back: it stays resident, charged, and usable.
                run.iter().for_each(|slab| reserve.give(*slab));
            }
        }
        freed
    }
}

/// The backing, with addresses.
#[derive(Debug)]
struct Memory<B> {
    backing: B,
}

impl<B: Backing> Memory<B> {
    /// The address of a byte of a slab.
    fn at(&self, slab: u32, offset: usize) -> *mut u8 {
        let offset = slab as usize * SLAB_BYTES + offset;
        debug_assert!(offset < self.backing.len());
        // SAFETY: slabs are numbered below `len / SLAB_BYTES`, and the offset is inside one.
        unsafe { self.backing.base().as_ptr().add(offset) }
    }
}

impl<B: Backing> Links for Memory<B> {
    fn read(&self, slab: u32, offset: usize) -> u16 {
        // SAFETY: a freed slot is the class's alone, at least 16 bytes long and aligned to 16.
        unsafe { self.at(slab, offset).cast::<u16>().read() }
    }

    fn write(&self, slab: u32, offset: usize, link: u16) {
        // SAFETY: as above.
        unsafe { self.at(slab, offset).cast::<u16>().write(link) };
    }
}
