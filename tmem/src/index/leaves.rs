//! The leaves of one object, by number.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::heap::block_bytes;
use super::leaf::Leaf;

/// Nearly every file has one leaf, so one is a pointer; several are in a map of their own.
#[derive(Debug, Default)]
pub(crate) enum Leaves {
    #[default]
    None,
    One(Arc<Leaf>),
    #[expect(clippy::box_collection, reason = "three words of a map would be in every object")]
    Many(Box<BTreeMap<u32, Arc<Leaf>>>),
}

/// A node of the map has 11 places of 12 bytes each; at least half are used where there are several nodes.
const NODE_PLACES: usize = 11;
const NODE_BYTES: usize = block_bytes(144);
const SHARE_BYTES: usize = NODE_BYTES / (NODE_PLACES / 2);

impl Leaves {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(leaves) => leaves.len(),
        }
    }

    /// Heap bytes held, without the leaves.
    pub(crate) fn heap_bytes(&self) -> usize {
        heap_bytes(self.len())
    }

    /// Heap bytes that one leaf more adds.
    pub(crate) fn growth_bytes(&self) -> usize {
        heap_bytes(self.len() + 1) - self.heap_bytes()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Arc<Leaf>> {
        match self {
            Self::One(leaf) if leaf.number() == number => Some(leaf),
            Self::None | Self::One(_) => None,
            Self::Many(leaves) => leaves.get(&number),
        }
    }

    /// Enters a leaf whose number is free.
    pub(crate) fn insert(&mut self, leaf: Arc<Leaf>) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(leaf),
            Self::One(first) => Self::Many(Box::new(BTreeMap::from([first, leaf].map(|leaf| (leaf.number(), leaf))))),
            Self::Many(mut leaves) => {
                leaves.insert(leaf.number(), leaf);
                Self::Many(leaves)
            }
        };
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Arc<Leaf>> {
        self.get(number)?;
        let mut removed = None;
        *self = match std::mem::take(self) {
            Self::Many(mut leaves) => {
                removed = leaves.remove(&number);
                if leaves.len() > 1 {
                    Self::Many(leaves)
                } else {
                    leaves.into_values().next().map_or(Self::None, Self::One)
                }
            }
            Self::One(leaf) => {
                removed = Some(leaf);
                Self::None
            }
            Self::None => Self::None,
        };
        removed
    }

    /// Takes out the leaves of these numbers.
    pub(crate) fn remove_range(&mut self, numbers: RangeInclusive<u32>) -> Vec<Arc<Leaf>> {
        let present: Vec<u32> = match self {
            Self::None => Vec::new(),
            Self::One(leaf) => Vec::from_iter(Some(leaf.number()).filter(|number| numbers.contains(number))),
            Self::Many(leaves) => leaves.range(numbers).map(|(number, _)| *number).collect(),
        };
        present.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Every leaf, for the invariants.
    pub(crate) fn to_vec(&self) -> Vec<Arc<Leaf>> {
        match self {
            Self::None => Vec::new(),
            Self::One(leaf) => vec![Arc::clone(leaf)],
            Self::Many(leaves) => leaves.values().cloned().collect(),
        }
    }
}

impl IntoIterator for Leaves {
    type Item = Arc<Leaf>;
    type IntoIter = Box<dyn Iterator<Item = Arc<Leaf>> + Send>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::None => Box::new(std::iter::empty()),
            Self::One(leaf) => Box::new(std::iter::once(leaf)),
            Self::Many(leaves) => Box::new(leaves.into_values()),
        }
    }
}

/// Heap bytes of that many leaves' map.
fn heap_bytes(leaves: usize) -> usize {
    const MAP_BYTES: usize = block_bytes(size_of::<BTreeMap<u32, Arc<Leaf>>>());
    match leaves {
        0..=1 => 0,
        2..=NODE_PLACES => MAP_BYTES + NODE_BYTES,
        _ => MAP_BYTES + leaves * SHARE_BYTES,
    }
}
