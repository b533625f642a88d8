//! The slabs that no class owns.

use super::slab::Blank;
use crate::key::PAGE_SIZE;

/// Empty slabs that stay resident for the next put: 4 MiB.
const IDLE_SLABS: usize = 128;

/// Most slabs that are made resident at a time, ahead of their use: 2 MiB, a third of a millisecond.
const AHEAD_SLABS: u32 = 64;
/// Fewer are not worth a system call.
const AHEAD_SLABS_MIN: u32 = 8;

/// Slabs between owners: idle ones, still resident and charged, and blank ones, which cost nothing.
#[derive(Debug)]
pub(super) struct Reserve {
    idle: Vec<Blank>,
    blank: Vec<u32>,
    /// Blank slabs are being made resident.
    is_growing: bool,
    /// First slab that was never used.
    next: u32,
    total: u32,
}

impl Reserve {
    pub(super) fn new(total: u32) -> Self {
        Self { idle: Vec::new(), blank: Vec::new(), is_growing: false, next: 0, total }
    }

    /// A slab for a class: a resident one where there is one, else one that was given back, else a new one.
    pub(super) fn take(&mut self) -> Option<Blank> {
        if let Some(idle) = self.idle.pop() {
            return Some(idle);
        }
        let number = self.blank.pop().or_else(|| {
            let number = self.next;
            self.next += u32::from(number < self.total);
            (number < self.total).then_some(number)
        })?;
        Some(Blank { number, resident_pages: 0 })
    }

    /// Blank slabs to make resident, in ascending order: half as many as are in use, once fewer idle ones than half of that
    /// are left. Those are for the other vCPUs meanwhile: one thread makes slabs resident at a time, until it says that the
    /// reserve [has grown](Self::has_grown).
    pub(super) fn take_ahead(&mut self) -> Vec<u32> {
        let resident = self.next.saturating_sub(count(&self.blank));
        let ahead = (resident.saturating_sub(count(&self.idle)) / 2).min(AHEAD_SLABS);
        if self.is_growing || count(&self.idle) >= ahead / 2 || ahead < AHEAD_SLABS_MIN {
            return Vec::new();
        }
        let reused = ahead.min(count(&self.blank));
        let mut numbers = self.blank.split_off(self.blank.len() - reused as usize);
        let fresh = self.next..self.total.min(self.next + ahead - reused);
        self.next = fresh.end;
        numbers.extend(fresh);
        numbers.sort_unstable();
        self.is_growing = !numbers.is_empty();
        numbers
    }

    /// What was taken ahead is back.
    pub(super) fn has_grown(&mut self) {
        self.is_growing = false;
    }

    /// Takes an empty slab in.
    pub(super) fn give(&mut self, slab: Blank) {
        if slab.resident_pages == 0 {
            self.blank.push(slab.number);
        } else {
            self.idle.push(slab);
        }
    }

    /// The older half of the idle slabs, once there are too many; so giving back is one call for many slabs.
    pub(super) fn take_surplus(&mut self) -> Vec<Blank> {
        if self.idle.len() > IDLE_SLABS { self.idle.drain(..IDLE_SLABS / 2).collect() } else { Vec::new() }
    }

    /// Idle slabs, oldest first, until they are `enough` bytes.
    pub(super) fn take_idle(&mut self, enough: usize) -> Vec<Blank> {
        let before = |bytes: &mut usize, slab: &Blank| {
            let start = *bytes;
            *bytes += slab.resident_pages * PAGE_SIZE;
            Some(start)
        };
        let count = self.idle.iter().scan(0, before).take_while(|start| *start < enough).count();
        self.idle.drain(..count).collect()
    }

    /// Pages of idle slabs.
    pub(super) fn resident_pages(&self) -> usize {
        self.idle.iter().map(|slab| slab.resident_pages).sum()
    }
}

fn count<T>(slabs: &[T]) -> u32 {
    u32::try_from(slabs.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reserve of which so many slabs are in use.
    fn reserve(in_use: u32) -> Reserve {
        let mut reserve = Reserve::new(1 << 20);
        assert!((0..in_use).all(|_| reserve.take().is_some()));
        reserve
    }

    fn give(reserve: &mut Reserve, numbers: &[u32]) {
        numbers.iter().for_each(|number| reserve.give(Blank { number: *number, resident_pages: 8 }));
        reserve.has_grown();
    }

    #[test]
    fn memory_is_made_resident_before_the_last_of_it_is_in_use() {
        let mut reserve = reserve(1000);
        let ahead = reserve.take_ahead();
        assert_eq!(ahead, (1000..1000 + AHEAD_SLABS).collect::<Vec<_>>());
        give(&mut reserve, &ahead);
        let (mut taken, mut next) = (0, Vec::new());
        while next.is_empty() {
            assert!(reserve.take().is_some_and(|slab| slab.resident_pages == 8), "an idle one");
            taken += 1;
            next = reserve.take_ahead();
        }
        assert!((AHEAD_SLABS / 4..AHEAD_SLABS).contains(&taken), "{taken} of {AHEAD_SLABS} were in use");
    }

    #[test]
    fn one_thread_makes_memory_resident_at_a_time() {
        let mut reserve = reserve(1000);
        let ahead = reserve.take_ahead();
        assert!(!ahead.is_empty());
        assert_eq!(reserve.take_ahead(), []);
        ahead.into_iter().for_each(|number| reserve.give(Blank { number, resident_pages: 0 }));
        assert_eq!(reserve.take_ahead(), [], "they are back, and it is not known whether all are");
        reserve.has_grown();
        assert_eq!(reserve.take_ahead().len(), AHEAD_SLABS as usize);
    }

    #[test]
    fn little_in_use_is_not_worth_memory_ahead() {
        assert_eq!(reserve(2 * AHEAD_SLABS_MIN - 1).take_ahead(), []);
        assert_eq!(reserve(2 * AHEAD_SLABS_MIN).take_ahead().len(), AHEAD_SLABS_MIN as usize);
    }
}
