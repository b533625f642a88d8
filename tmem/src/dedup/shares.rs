//! Places in the arena that several entries name.
//!
//! A share is what an entry is to a place of its own: it says where the bytes are and counts the readers that copy from
//! there. It ends with its last reference or its last reader, whichever is later; its id is not used again before.

use crate::index::{Contents, Entry};
use crate::lock::Lock;
use crate::quota::Quota;

/// One share: 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// Where the bytes are.
    entry: Entry,
    /// Entries that say this share's id.
    references: u32,
    readers: u32,
}

/// The shares of one kind of pool, by id.
#[derive(Debug, Default)]
pub(crate) struct Shares(Lock<Table>);

#[derive(Debug, Default)]
struct Table {
    shares: Vec<Share>,
    free: Vec<u32>,
}

/// What the shares hold, for the invariants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Shares, each with a slot of the arena.
    pub(crate) shares: usize,
    /// References to them.
    pub(crate) references: u64,
    /// Bytes in the slots.
    pub(crate) stored_bytes: u64,
    /// Heap bytes charged.
    pub(crate) heap_bytes: usize,
}

impl Shares {
    /// Heap bytes of an id, in use or free: the vectors double their room. The table keeps them until no id is in use.
    const ID_BYTES: usize = 2 * (size_of::<Share>() + size_of::<u32>());

    /// Makes a share of a slot, with two references: of the entry that had the slot, and of who asks. `None` where the limit
    /// forbids it.
    pub(crate) fn create(&self, stored: Contents, quota: &Quota) -> Option<u32> {
        let mut table = self.0.lock();
        let share = Share { entry: Entry::new(stored), references: 2, readers: 0 };
        if let Some(id) = table.free.pop() {
            table.shares[id as usize] = share;
            return Some(id);
        }
        let id = u32::try_from(table.shares.len()).ok()?;
        quota.try_charge_metadata(Self::ID_BYTES).ok()?;
        table.shares.push(share);
        Some(id)
    }

    /// Counts a reader, and says what to read. The caller holds the leaf of an entry that says `id`.
    pub(crate) fn pin(&self, id: u32) -> Option<Contents> {
        let mut table = self.0.lock();
        let share = table.shares.get_mut(id as usize)?;
        share.readers += 1;
        share.entry.contents()
    }

    /// Counts a reader off. Returns what nobody needs any more.
    pub(crate) fn unpin(&self, id: u32, quota: &Quota) -> Option<Contents> {
        self.0.lock().drop_one(id, quota, |share| share.readers -= 1)
    }

    /// Counts one more reference to a share that the caller pinned. Returns `false` where no more can be counted.
    pub(crate) fn refer(&self, id: u32) -> bool {
        let mut table = self.0.lock();
        let share = &mut table.shares[id as usize];
        // Its last entry may have gone since it was pinned, and another may come in its place all the same.
        let more = share.references.checked_add(1);
        share.references = more.unwrap_or(share.references);
        more.is_some()
    }

    /// Counts a reference off. Returns what nobody needs any more.
    pub(crate) fn release(&self, id: u32, quota: &Quota) -> Option<Contents> {
        self.0.lock().drop_one(id, quota, |share| share.references -= 1)
    }

    /// What is shared. Exact while nobody else uses the shares.
    pub(crate) fn holdings(&self) -> Holdings {
        let table = self.0.lock();
        let live = table.shares.iter().filter(|share| share.references > 0);
        let none = Holdings { heap_bytes: table.shares.len() * Self::ID_BYTES, ..Holdings::default() };
        let sum = live.fold(none, |sum, share| Holdings {
            shares: sum.shares + 1,
            references: sum.references + u64::from(share.references),
            stored_bytes: sum.stored_bytes + share.entry.contents().map_or(0, Contents::stored_bytes) as u64,
            ..sum
        });
        assert!(table.shares.iter().all(|share| share.readers == 0), "no reader is left");
        sum
    }
}

impl Table {
    fn drop_one(&mut self, id: u32, quota: &Quota, drop: impl FnOnce(&mut Share)) -> Option<Contents> {
        let share = &mut self.shares[id as usize];
        drop(share);
        if share.references > 0 || share.readers > 0 {
            return None;
        }
        let contents = share.entry.contents();
        self.free.push(id);
        if self.free.len() == self.shares.len() {
            quota.refund_metadata(self.shares.len() * Shares::ID_BYTES);
            *self = Self::default();
        }
        contents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Slot;
    use crate::index::Tier;

    #[test]
    fn a_share_ends_with_its_last_reference_or_reader() {
        let (shares, quota) = (Shares::default(), Quota::new(1 << 20, 0));
        let stored = Contents::Stored(Tier::Lz4, Slot::new(3, 99));
        let id = shares.create(stored, &quota).unwrap();
        assert_eq!(shares.pin(id), Some(stored));
        assert!(shares.refer(id));
        assert_eq!([(); 3].map(|()| shares.release(id, &quota)), [None; 3]);
        let other = shares.create(stored, &quota).unwrap();
        assert_ne!(other, id, "an id that is read is not used again");
        assert_eq!(shares.unpin(id, &quota), Some(stored));
        assert_eq!((shares.release(other, &quota), shares.release(other, &quota)), (None, Some(stored)));
        assert_eq!(shares.holdings(), Holdings::default());
    }

    #[test]
    fn the_table_is_charged_until_it_is_given_back() {
        let (shares, quota) = (Shares::default(), Quota::new(4 * Shares::ID_BYTES as u64, 0));
        let stored = Contents::Stored(Tier::Lz4, Slot::new(3, 99));
        let end = |id| (0..2).filter_map(|_| shares.release(id, &quota)).count();
        let ids = [(); 4].map(|()| shares.create(stored, &quota).unwrap());
        assert_eq!((quota.left(), shares.create(stored, &quota)), (0, None), "no more than the limit");
        assert_eq!(ids[1..].iter().map(|id| end(*id)).sum::<usize>(), 3);
        assert_eq!(quota.left(), 0, "three free ids take as much as before");
        let again = shares.create(stored, &quota).unwrap();
        assert!(ids[1..].contains(&again), "and are used first");
        assert_eq!((end(again), end(ids[0]), quota.used()), (1, 1, 0));
    }
}
