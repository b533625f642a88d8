//! The leaves of one object, by number.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::heap::block_bytes;
use super::leaf::Leaf;

/// Nearly every file has one leaf, so one is a pointer; several are in a block of their own: in a row where their numbers
/// are dense, as a swap area's are, else in a map.
#[derive(Debug, Default)]
pub(crate) enum Leaves {
    #[default]
    None,
    One(Arc<Leaf>),
    Row(Box<Row>),
    Map(Box<Map>),
}

/// A place for each number up to that of the last leaf.
#[derive(Debug)]
pub(crate) struct Row {
    places: Vec<Option<Arc<Leaf>>>,
    leaves: usize,
}

/// Leaves whose numbers are far apart.
#[derive(Debug)]
pub(crate) struct Map {
    leaves: BTreeMap<u32, Arc<Leaf>>,
    /// Leaves inserted since it was made.
    inserted: usize,
}

/// What several leaves are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A row of so many places.
    Row(usize),
    Map,
}

/// A node of the map has 11 places of 12 bytes each; at least half are used where there are several nodes.
const NODE_PLACES: usize = 11;
const NODE_BYTES: usize = block_bytes(144);
const SHARE_BYTES: usize = NODE_BYTES / (NODE_PLACES / 2);

impl Leaves {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Heap bytes held, without the leaves.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Row(row) => Row::heap_bytes(row.places.capacity()),
            Self::Map(map) => map_bytes(map.leaves.len()),
        }
    }

    /// Heap bytes held with a leaf more.
    pub(crate) fn heap_bytes_with(&self, number: u32) -> usize {
        match (self.form_with(number), self) {
            (None, _) => 0,
            (Some(Form::Row(places)), _) => Row::heap_bytes(places),
            (Some(Form::Map), Self::Map(map)) => map_bytes(map.leaves.len() + 1),
            (Some(Form::Map), Self::Row(row)) => map_bytes(row.leaves + 1),
            (Some(Form::Map), Self::None | Self::One(_)) => map_bytes(2),
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Arc<Leaf>> {
        match self {
            Self::Row(row) => row.places.get(number as usize)?.as_ref(),
            Self::One(leaf) if leaf.number() == number => Some(leaf),
            Self::None | Self::One(_) => None,
            Self::Map(map) => map.leaves.get(&number),
        }
    }

    /// Enters a leaf whose number is free.
    pub(crate) fn insert(&mut self, leaf: Arc<Leaf>) {
        match (self.form_with(leaf.number()), &mut *self) {
            (None, _) => *self = Self::One(leaf),
            (Some(Form::Row(places)), Self::Row(row)) => row.insert(leaf, places),
            (Some(Form::Map), Self::Map(map)) => {
                map.inserted += 1;
                map.leaves.insert(leaf.number(), leaf);
            }
            (Some(form), _) => {
                let all = std::mem::take(self).into_iter().chain([leaf]);
                *self = Self::in_form(form, all);
            }
        }
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Arc<Leaf>> {
        let removed = match self {
            Self::None => None,
            Self::One(leaf) => (leaf.number() == number).then(|| Arc::clone(leaf)),
            Self::Row(row) => row.remove(number),
            Self::Map(map) => map.leaves.remove(&number),
        }?;
        let is_sparse = match self {
            Self::None | Self::One(_) => {
                *self = Self::None;
                false
            }
            Self::Row(row) => row.leaves == 1 || !Row::may_stay(row.leaves, row.places.capacity()),
            Self::Map(map) => map.leaves.len() == 1,
        };
        if is_sparse {
            let mut left = std::mem::take(self).into_iter();
            *self = match (left.next(), left.next()) {
                (Some(first), Some(second)) => Self::in_form(Form::Map, [first, second].into_iter().chain(left)),
                (first, _) => first.map_or(Self::None, Self::One),
            };
        }
        Some(removed)
    }

    /// Takes out the leaves of these numbers.
    pub(crate) fn remove_range(&mut self, numbers: RangeInclusive<u32>) -> Vec<Arc<Leaf>> {
        let present: Vec<u32> = match self {
            Self::None => Vec::new(),
            Self::One(leaf) => Vec::from_iter(Some(leaf.number()).filter(|number| numbers.contains(number))),
            Self::Row(row) => row
                .places
                .iter()
                .skip(*numbers.start() as usize)
                .flatten()
                .map(|leaf| leaf.number())
                .take_while(|number| numbers.contains(number))
                .collect(),
            Self::Map(map) => map.leaves.range(numbers).map(|(number, _)| *number).collect(),
        };
        present.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Every leaf, for the invariants.
    pub(crate) fn to_vec(&self) -> Vec<Arc<Leaf>> {
        match self {
            Self::None => Vec::new(),
            Self::One(leaf) => vec![Arc::clone(leaf)],
            Self::Row(row) => row.places.iter().flatten().cloned().collect(),
            Self::Map(map) => map.leaves.values().cloned().collect(),
        }
    }

    /// What the leaves are kept in with one more; `None`: it is the only one.
    fn form_with(&self, number: u32) -> Option<Form> {
        let room = |places: usize| places.max(number as usize + 1).next_power_of_two();
        let (is_row, places) = match self {
            Self::None => return None,
            Self::One(leaf) => {
                let places = room(leaf.number() as usize + 1);
                (Row::may_stay(2, places), places)
            }
            Self::Row(row) => {
                let places = room(row.places.capacity());
                (Row::may_stay(row.leaves + 1, places), places)
            }
            Self::Map(map) => {
                let last = map.leaves.last_key_value().map_or(0, |(last, _)| *last as usize);
                let places = room(last + 1);
                let leaves = map.leaves.len() + 1;
                (3 * map.inserted >= leaves && Row::may_begin(leaves, places), places)
            }
        };
        Some(if is_row { Form::Row(places) } else { Form::Map })
    }

    /// Two leaves or more.
    fn in_form(form: Form, leaves: impl Iterator<Item = Arc<Leaf>>) -> Self {
        match form {
            Form::Row(places) => {
                let mut row = Row { places: Vec::new(), leaves: 0 };
                leaves.for_each(|leaf| row.insert(leaf, places));
                Self::Row(Box::new(row))
            }
            Form::Map => {
                let leaves = leaves.map(|leaf| (leaf.number(), leaf)).collect();
                Self::Map(Box::new(Map { leaves, inserted: 0 }))
            }
        }
    }
}

impl Row {
    /// Whether leaves stay in a row with room for so many: while it takes no more than twice what a map does.
    fn may_stay(leaves: usize, places: usize) -> bool {
        Self::heap_bytes(places) <= 2 * map_bytes(leaves)
    }

    /// Whether leaves may leave their map for such a row. They do once a third of them came since the others went into the
    /// map: however a guest goes about it, a change costs the same in the long run.
    fn may_begin(leaves: usize, places: usize) -> bool {
        Self::heap_bytes(places) <= map_bytes(leaves)
    }

    /// Heap bytes of a row with room for that many.
    fn heap_bytes(places: usize) -> usize {
        block_bytes(size_of::<Self>()) + block_bytes(places * size_of::<Option<Arc<Leaf>>>())
    }

    /// Enters a leaf whose place is free, in a row with room for as many `places`.
    fn insert(&mut self, leaf: Arc<Leaf>, places: usize) {
        self.places.reserve_exact(places.saturating_sub(self.places.len()));
        let place = leaf.number() as usize;
        if place >= self.places.len() {
            self.places.resize(place + 1, None);
        }
        self.places[place] = Some(leaf);
        self.leaves += 1;
    }

    fn remove(&mut self, number: u32) -> Option<Arc<Leaf>> {
        let removed = self.places.get_mut(number as usize)?.take()?;
        self.leaves -= 1;
        while self.places.last().is_some_and(Option::is_none) {
            self.places.pop();
        }
        if self.places.len() <= self.places.capacity() / 4 {
            self.places.shrink_to(self.places.capacity() / 2);
        }
        Some(removed)
    }
}

impl IntoIterator for Leaves {
    type Item = Arc<Leaf>;
    type IntoIter = Box<dyn Iterator<Item = Arc<Leaf>> + Send>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::None => Box::new(std::iter::empty()),
            Self::One(leaf) => Box::new(std::iter::once(leaf)),
            Self::Row(row) => Box::new(row.places.into_iter().flatten()),
            Self::Map(map) => Box::new(map.leaves.into_values()),
        }
    }
}

/// Heap bytes of that many leaves' map.
fn map_bytes(leaves: usize) -> usize {
    const MAP_BYTES: usize = block_bytes(size_of::<Map>());
    MAP_BYTES + if leaves <= NODE_PLACES { NODE_BYTES } else { leaves * SHARE_BYTES }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Weak;

    use proptest::prelude::*;

    use super::*;
    use crate::key::PoolKind;

    fn leaf(number: u32) -> Arc<Leaf> {
        Arc::new(Leaf::new(Weak::new(), number, PoolKind::Persistent, 0))
    }

    fn numbers(leaves: &Leaves) -> Vec<u32> {
        leaves.to_vec().iter().map(|leaf| leaf.number()).collect()
    }

    #[test]
    fn a_swap_area_s_leaves_are_a_row_and_far_apart_ones_a_map() {
        let mut leaves = Leaves::default();
        (0..100).rev().for_each(|number| leaves.insert(leaf(number)));
        assert!(matches!(leaves, Leaves::Row(_)), "dense in the end");
        assert_eq!(numbers(&leaves), Vec::from_iter(0..100));
        leaves.insert(leaf(8_388_607));
        assert!(matches!(leaves, Leaves::Map(_)), "one far off");
        assert!(leaves.heap_bytes() < 100 * 40, "{} bytes", leaves.heap_bytes());
        leaves.remove(8_388_607);
        leaves.insert(leaf(100));
        assert!(matches!(leaves, Leaves::Map(_)), "one more does not move them all");
        (101..200).for_each(|number| leaves.insert(leaf(number)));
        assert!(matches!(leaves, Leaves::Row(_)), "dense again");
    }

    fn any_number() -> impl Strategy<Value = u32> {
        prop_oneof![3 => 0..40_u32, 1 => 0..400_u32, 1 => 0..=8_388_607_u32]
    }

    proptest! {
        #[test]
        fn leaves_are_found_whatever_they_are_kept_in(
            steps in prop::collection::vec((any_number(), 0..10_u8), 1..200),
        ) {
            let (mut leaves, mut model) = (Leaves::default(), BTreeSet::new());
            for (number, step) in steps {
                match step {
                    0 => {
                        let removed: Vec<u32> =
                            leaves.remove_range(number..=number + 9).iter().map(|leaf| leaf.number()).collect();
                        prop_assert_eq!(removed, model.range(number..=number + 9).copied().collect::<Vec<_>>());
                        model.retain(|each| !(number..=number + 9).contains(each));
                    }
                    1..=4 => prop_assert_eq!(leaves.remove(number).is_some(), model.remove(&number)),
                    _ if model.insert(number) => {
                        let bytes = leaves.heap_bytes_with(number);
                        leaves.insert(leaf(number));
                        prop_assert_eq!(leaves.heap_bytes(), bytes);
                    }
                    _ => {}
                }
                prop_assert_eq!(leaves.get(number).is_some(), model.contains(&number));
                prop_assert_eq!(numbers(&leaves), model.iter().copied().collect::<Vec<_>>());
                prop_assert!(leaves.heap_bytes() <= 64 * model.len() + 512);
            }
        }
    }
}
