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
    /// First slab that was never used.
    next: u32,
    total: u32,
}

impl Reserve {
    pub(super) fn new(total: u32) -> Self {
        Self { idle: Vec::new(), blank: Vec::new(), next: 0, total }
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

    /// Blank slabs to make resident, in ascending order: half as many as are in use, once no idle one is left.
    pub(super) fn take_ahead(&mut self) -> Vec<u32> {
        let in_use = self.next - u32::try_from(self.blank.len()).unwrap_or(self.next);
        let count = (in_use / 2).min(AHEAD_SLABS);
        if !self.idle.is_empty() || count < AHEAD_SLABS_MIN {
            return Vec::new();
        }
        let reused = (count as usize).min(self.blank.len());
        let mut numbers = self.blank.split_off(self.blank.len() - reused);
        let fresh = self.next..self.total.min(self.next + count - u32::try_from(reused).unwrap_or(count));
        self.next = fresh.end;
        numbers.extend(fresh);
        numbers.sort_unstable();
        numbers
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
