//! The entries of one leaf, in as little memory as their number allows.

use super::entry::Entry;

/// Indexes that one leaf covers.
pub(crate) const LEAF_PAGES: u16 = 512;
/// The same, as the length of an array.
const PLACES: usize = LEAF_PAGES as usize;
/// Room of the sparse form, step by step; the next step is the dense form.
const STEPS: [usize; 4] = [1, 4, 16, 64];
/// A dense leaf with this few entries becomes sparse again. Far below the largest step, so that it does not flap.
const SPARSE_AGAIN: usize = 16;
/// What the allocator adds to a block.
const BLOCK_BYTES: usize = 16;
const SPARSE_BYTES: usize = size_of::<(u16, Entry)>();
const DENSE_BYTES: usize = PLACES * size_of::<Entry>() + BLOCK_BYTES;

/// Entries by their place in the leaf.
#[derive(Debug)]
pub(crate) enum Slots {
    /// Sorted by place; the vector's capacity is one of [`STEPS`].
    Sparse(Vec<(u16, Entry)>),
    /// One for each place, and how many are present.
    Dense(Box<[Entry; PLACES]>, usize),
}

impl Slots {
    /// Room for one entry.
    pub(crate) fn new() -> Self {
        Self::Sparse(Vec::with_capacity(STEPS[0]))
    }

    /// No room at all.
    pub(crate) fn nothing() -> Self {
        Self::Sparse(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Sparse(entries) => entries.len(),
            Self::Dense(_, len) => *len,
        }
    }

    pub(crate) fn get(&self, place: u16) -> Entry {
        match self {
            Self::Sparse(entries) => find(entries, place).map_or(Entry::ABSENT, |at| entries[at].1),
            Self::Dense(entries, _) => entries[usize::from(place)],
        }
    }

    /// Heap bytes that an insertion at `place` adds.
    pub(crate) fn growth_bytes(&self, place: u16) -> usize {
        match self {
            Self::Sparse(entries) if entries.len() == entries.capacity() && find(entries, place).is_err() => {
                next_step(entries.len()).map_or(DENSE_BYTES, sparse_bytes) - self.heap_bytes()
            }
            _ => 0,
        }
    }

    /// Heap bytes held.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Sparse(entries) => sparse_bytes(entries.capacity()),
            Self::Dense(..) => DENSE_BYTES,
        }
    }

    /// Puts a present entry at `place` and returns the one that was there.
    pub(crate) fn insert(&mut self, place: u16, entry: Entry) -> Entry {
        match self {
            Self::Dense(entries, len) => {
                let old = std::mem::replace(&mut entries[usize::from(place)], entry);
                *len += usize::from(old.is_absent());
                old
            }
            Self::Sparse(entries) => match find(entries, place) {
                Ok(at) => std::mem::replace(&mut entries[at].1, entry),
                Err(at) if entries.len() < entries.capacity() => {
                    entries.insert(at, (place, entry));
                    Entry::ABSENT
                }
                Err(at) => match next_step(entries.len()) {
                    Some(step) => {
                        entries.reserve_exact(step - entries.len());
                        entries.insert(at, (place, entry));
                        Entry::ABSENT
                    }
                    None => {
                        *self = dense(entries);
                        self.insert(place, entry)
                    }
                },
            },
        }
    }

    /// Changes an entry in place: its pins or its age.
    pub(crate) fn update(&mut self, place: u16, entry: Entry) {
        match self {
            Self::Dense(entries, _) => entries[usize::from(place)] = entry,
            Self::Sparse(entries) => {
                if let Ok(at) = find(entries, place) {
                    entries[at].1 = entry;
                }
            }
        }
    }

    /// Takes the entry at `place` out, if there is one.
    pub(crate) fn remove(&mut self, place: u16) -> Entry {
        match self {
            Self::Sparse(entries) => find(entries, place).map_or(Entry::ABSENT, |at| entries.remove(at).1),
            Self::Dense(entries, len) => {
                let old = std::mem::take(&mut entries[usize::from(place)]);
                *len -= usize::from(!old.is_absent());
                if *len <= SPARSE_AGAIN {
                    *self = sparse(entries.as_slice());
                }
                old
            }
        }
    }

    /// The first entry at `place` or behind it.
    pub(crate) fn next(&self, place: u16) -> Option<(u16, Entry)> {
        match self {
            Self::Sparse(entries) => {
                let at = find(entries, place).unwrap_or_else(|at| at);
                entries.get(at).copied()
            }
            Self::Dense(entries, _) => {
                let behind = (place..).zip(entries.iter().skip(usize::from(place)));
                behind.map(|(place, entry)| (place, *entry)).find(|(_, entry)| !entry.is_absent())
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn find(entries: &[(u16, Entry)], place: u16) -> Result<usize, usize> {
    entries.binary_search_by_key(&place, |(place, _)| *place)
}

/// Room for more than `len` entries; `None` where only the dense form has it.
fn next_step(len: usize) -> Option<usize> {
    STEPS.into_iter().find(|step| *step > len)
}

fn sparse_bytes(capacity: usize) -> usize {
    capacity * SPARSE_BYTES + BLOCK_BYTES
}

fn dense(sparse: &[(u16, Entry)]) -> Slots {
    let mut entries = Box::new([Entry::ABSENT; PLACES]);
    for (place, entry) in sparse {
        entries[usize::from(*place)] = *entry;
    }
    Slots::Dense(entries, sparse.len())
}

fn sparse(dense: &[Entry]) -> Slots {
    let present = (0..).zip(dense).filter(|(_, entry)| !entry.is_absent());
    let mut entries = Vec::with_capacity(STEPS[2].max(SPARSE_AGAIN));
    entries.extend(present.map(|(place, entry)| (place, *entry)));
    Slots::Sparse(entries)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::entry::Contents;
    use super::*;

    fn entry(word: u64) -> Entry {
        Entry::new(Contents::Fill(word))
    }

    proptest! {
        #[test]
        fn both_forms_are_a_map(operations in prop::collection::vec((any::<bool>(), 0..512_u16, 0..9_u64), 0..2000)) {
            let mut slots = Slots::new();
            let mut model = BTreeMap::new();
            for (insert, place, word) in operations {
                let before = slots.heap_bytes();
                let growth = slots.growth_bytes(place);
                if insert {
                    let old = slots.insert(place, entry(word));
                    prop_assert_eq!(old, model.insert(place, entry(word)).unwrap_or_default());
                    prop_assert_eq!(slots.heap_bytes(), before + growth);
                } else {
                    prop_assert_eq!(slots.remove(place), model.remove(&place).unwrap_or_default());
                    prop_assert!(slots.heap_bytes() <= before);
                }
                prop_assert_eq!(slots.len(), model.len());
                prop_assert_eq!(slots.next(place), model.range(place..).next().map(|(p, e)| (*p, *e)));
            }
            for place in 0..512 {
                prop_assert_eq!(slots.get(place), model.get(&place).copied().unwrap_or_default());
            }
        }
    }
}
