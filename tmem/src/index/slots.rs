//! The entries of one leaf, in as little memory as their number allows.
//!
//! Most files have a page or two, and most pages are in leaves that are full. So one entry needs no memory of its own,
//! a few lie sorted with their places beside them, and of many each has the place that its index says.

use super::entry::Entry;
use super::heap::block_bytes;

/// Indexes that one leaf covers.
pub(crate) const LEAF_PAGES: u16 = 512;
/// The same, as the length of an array.
const PLACES: usize = LEAF_PAGES as usize;
/// The largest sorted room. Up to 256 places cost less memory than gaps, but what is put then is a swap area more often
/// than a file, and that fills its leaves.
const SORTED_MOST: usize = 64;

/// Room for `N` entries, sorted by place. Apart from each other, because side by side they would be padded to 16 bytes.
#[derive(Debug)]
pub(crate) struct Room<const N: usize> {
    entries: [Entry; N],
    places: [u16; N],
}

/// Entries by their place in the leaf; the number with each form is that of the entries present.
#[derive(Debug)]
pub(crate) enum Slots {
    Alone(u16, [u16; 1], [Entry; 1]),
    Two(u16, Box<Room<2>>),
    Four(u16, Box<Room<4>>),
    Eight(u16, Box<Room<8>>),
    Sixteen(u16, Box<Room<16>>),
    ThirtyTwo(u16, Box<Room<32>>),
    SixtyFour(u16, Box<Room<SORTED_MOST>>),
    /// One for each place, present or not.
    Dense(u16, Box<[Entry; PLACES]>),
}

/// Entries with their places.
struct Sorted<'a> {
    places: &'a [u16],
    entries: &'a [Entry],
}

/// The same to be changed, free room included.
struct SortedMut<'a> {
    len: &'a mut u16,
    places: &'a mut [u16],
    entries: &'a mut [Entry],
}

/// The entries, whatever the size of their room.
enum Form<'a> {
    Sorted(Sorted<'a>),
    Dense(u16, &'a [Entry; PLACES]),
}

/// The same to be changed.
enum FormMut<'a> {
    Sorted(SortedMut<'a>),
    Dense(&'a mut u16, &'a mut [Entry; PLACES]),
}

impl<const N: usize> Room<N> {
    fn new() -> Box<Self> {
        Box::new(Self { entries: [Entry::ABSENT; N], places: [0; N] })
    }

    fn sorted(&self, len: u16) -> Sorted<'_> {
        let len = usize::from(len);
        Sorted { places: &self.places[..len], entries: &self.entries[..len] }
    }

    fn sorted_mut<'a>(&'a mut self, len: &'a mut u16) -> SortedMut<'a> {
        SortedMut { len, places: &mut self.places, entries: &mut self.entries }
    }
}

impl Sorted<'_> {
    fn find(&self, place: u16) -> Result<usize, usize> {
        find(self.places, place)
    }
}

/// Where the entry of `place` is, or would be. Behind the last is where the next of a file or a swap area comes.
fn find(places: &[u16], place: u16) -> Result<usize, usize> {
    match places.last() {
        Some(last) if place > *last => Err(places.len()),
        _ => places.binary_search(&place),
    }
}

impl SortedMut<'_> {
    fn find(&self, place: u16) -> Result<usize, usize> {
        find(&self.places[..usize::from(*self.len)], place)
    }

    fn insert(self, at: usize, place: u16, entry: Entry) {
        let len = usize::from(*self.len);
        self.places.copy_within(at..len, at + 1);
        self.entries.copy_within(at..len, at + 1);
        self.places[at] = place;
        self.entries[at] = entry;
        *self.len += 1;
    }

    fn remove(self, at: usize) -> Entry {
        let len = usize::from(*self.len);
        let old = self.entries[at];
        self.places.copy_within(at + 1..len, at);
        self.entries.copy_within(at + 1..len, at);
        *self.len -= 1;
        old
    }
}

impl Slots {
    /// Room for one entry.
    pub(crate) fn new() -> Self {
        Self::Alone(0, [0], [Entry::ABSENT])
    }

    /// Room for `room` entries, one of those that there are.
    fn with_room(room: usize) -> Self {
        match room {
            0..=1 => Self::new(),
            2 => Self::Two(0, Room::new()),
            3..=4 => Self::Four(0, Room::new()),
            5..=8 => Self::Eight(0, Room::new()),
            9..=16 => Self::Sixteen(0, Room::new()),
            17..=32 => Self::ThirtyTwo(0, Room::new()),
            33..=SORTED_MOST => Self::SixtyFour(0, Room::new()),
            _ => Self::Dense(0, Box::new([Entry::ABSENT; PLACES])),
        }
    }

    fn form(&self) -> Form<'_> {
        Form::Sorted(match self {
            Self::Alone(len, places, entries) => {
                let len = usize::from(*len);
                Sorted { places: &places[..len], entries: &entries[..len] }
            }
            Self::Two(len, room) => room.sorted(*len),
            Self::Four(len, room) => room.sorted(*len),
            Self::Eight(len, room) => room.sorted(*len),
            Self::Sixteen(len, room) => room.sorted(*len),
            Self::ThirtyTwo(len, room) => room.sorted(*len),
            Self::SixtyFour(len, room) => room.sorted(*len),
            Self::Dense(len, entries) => return Form::Dense(*len, entries),
        })
    }

    fn form_mut(&mut self) -> FormMut<'_> {
        FormMut::Sorted(match self {
            Self::Alone(len, places, entries) => SortedMut { len, places, entries },
            Self::Two(len, room) => room.sorted_mut(len),
            Self::Four(len, room) => room.sorted_mut(len),
            Self::Eight(len, room) => room.sorted_mut(len),
            Self::Sixteen(len, room) => room.sorted_mut(len),
            Self::ThirtyTwo(len, room) => room.sorted_mut(len),
            Self::SixtyFour(len, room) => room.sorted_mut(len),
            Self::Dense(len, entries) => return FormMut::Dense(len, entries),
        })
    }

    /// Entries that the present form has room for.
    fn room(&self) -> usize {
        match self {
            Self::Alone(..) => 1,
            Self::Two(..) => 2,
            Self::Four(..) => 4,
            Self::Eight(..) => 8,
            Self::Sixteen(..) => 16,
            Self::ThirtyTwo(..) => 32,
            Self::SixtyFour(..) => SORTED_MOST,
            Self::Dense(..) => PLACES,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self.form() {
            Form::Sorted(sorted) => sorted.places.len(),
            Form::Dense(len, _) => usize::from(len),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(crate) fn get(&self, place: u16) -> Entry {
        // The form of a swap area's leaves, before all others.
        if let Self::Dense(_, entries) = self {
            return entries[usize::from(place)];
        }
        match self.form() {
            Form::Sorted(sorted) => sorted.find(place).map_or(Entry::ABSENT, |at| sorted.entries[at]),
            Form::Dense(_, entries) => entries[usize::from(place)],
        }
    }

    /// Heap bytes held.
    pub(crate) fn heap_bytes(&self) -> usize {
        room_bytes(self.room())
    }

    /// Heap bytes that an insertion at `place` adds.
    pub(crate) fn growth_bytes(&self, place: u16) -> usize {
        if !self.is_dense() && self.is_full() && self.get(place).is_absent() {
            room_bytes(self.next_room()) - self.heap_bytes()
        } else {
            0
        }
    }

    /// Puts a present entry at `place` and returns the one that was there.
    pub(crate) fn insert(&mut self, place: u16, entry: Entry) -> Entry {
        if !self.is_dense() && self.is_full() && self.get(place).is_absent() {
            self.change_room(self.next_room());
        }
        match self.form_mut() {
            FormMut::Sorted(sorted) => match sorted.find(place) {
                Ok(at) => std::mem::replace(&mut sorted.entries[at], entry),
                Err(at) => {
                    sorted.insert(at, place, entry);
                    Entry::ABSENT
                }
            },
            FormMut::Dense(len, entries) => {
                let old = std::mem::replace(&mut entries[usize::from(place)], entry);
                *len += u16::from(old.is_absent());
                old
            }
        }
    }

    /// Changes an entry in place: its pins or its age.
    #[inline]
    pub(crate) fn update(&mut self, place: u16, entry: Entry) {
        if let Self::Dense(_, entries) = self {
            entries[usize::from(place)] = entry;
            return;
        }
        match self.form_mut() {
            FormMut::Sorted(sorted) => {
                if let Ok(at) = sorted.find(place) {
                    sorted.entries[at] = entry;
                }
            }
            FormMut::Dense(_, entries) => entries[usize::from(place)] = entry,
        }
    }

    /// Takes the entry at `place` out, if there is one.
    pub(crate) fn remove(&mut self, place: u16) -> Entry {
        let old = match self.form_mut() {
            FormMut::Sorted(sorted) => match sorted.find(place) {
                Ok(at) => sorted.remove(at),
                Err(_) => Entry::ABSENT,
            },
            FormMut::Dense(len, entries) => {
                let old = std::mem::take(&mut entries[usize::from(place)]);
                *len -= u16::from(!old.is_absent());
                old
            }
        };
        // Half of the smaller room, so that a leaf whose pages come and go does not grow and shrink with each.
        let smaller = if self.is_dense() { SORTED_MOST } else { self.room() / 2 };
        if self.room() > 1 && self.len() <= smaller / 2 {
            self.change_room(smaller);
        }
        old
    }

    /// The first entry at `place` or behind it.
    pub(crate) fn next(&self, place: u16) -> Option<(u16, Entry)> {
        match self.form() {
            Form::Sorted(sorted) => {
                let at = sorted.find(place).unwrap_or_else(|at| at);
                Some((*sorted.places.get(at)?, *sorted.entries.get(at)?))
            }
            Form::Dense(_, entries) => {
                let behind = (place..).zip(entries.iter().skip(usize::from(place)));
                behind.map(|(place, entry)| (place, *entry)).find(|(_, entry)| !entry.is_absent())
            }
        }
    }

    #[inline]
    fn is_dense(&self) -> bool {
        matches!(self, Self::Dense(..))
    }

    /// The room after this one.
    fn next_room(&self) -> usize {
        if self.room() < SORTED_MOST { 2 * self.room() } else { PLACES }
    }

    fn is_full(&self) -> bool {
        self.len() == self.room()
    }

    /// Moves the entries to a larger or smaller room that has space for them.
    fn change_room(&mut self, room: usize) {
        let before = std::mem::replace(self, Self::with_room(room));
        let mut next = before.next(0);
        while let Some((place, entry)) = next {
            self.append(place, entry);
            next = before.next(place + 1);
        }
    }

    /// Enters an entry behind all others.
    fn append(&mut self, place: u16, entry: Entry) {
        match self.form_mut() {
            FormMut::Sorted(sorted) => {
                let end = usize::from(*sorted.len);
                sorted.insert(end, place, entry);
            }
            FormMut::Dense(len, entries) => {
                entries[usize::from(place)] = entry;
                *len += 1;
            }
        }
    }
}

/// Heap bytes of the room for that many entries.
const fn room_bytes(room: usize) -> usize {
    match room {
        0..=1 => 0,
        2..=SORTED_MOST => {
            block_bytes((room * (size_of::<Entry>() + size_of::<u16>())).next_multiple_of(align_of::<Entry>()))
        }
        _ => block_bytes(PLACES * size_of::<Entry>()),
    }
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

    #[test]
    fn an_entry_alone_costs_what_the_form_costs() {
        assert_eq!(size_of::<Slots>(), 16);
        assert_eq!(Slots::new().heap_bytes(), 0);
    }

    #[test]
    fn rooms_take_what_is_charged_for_them() {
        assert_eq!(room_bytes(2), block_bytes(size_of::<Room<2>>()));
        assert_eq!(room_bytes(64), block_bytes(size_of::<Room<64>>()));
        assert_eq!(room_bytes(SORTED_MOST), block_bytes(size_of::<Room<SORTED_MOST>>()));
    }

    proptest! {
        #[test]
        fn every_form_is_a_map(
            span in 1..=512_u16,
            operations in prop::collection::vec((0..3_u8, 0..512_u16, 0..9_u64), 0..2000),
            drain in any::<bool>(),
        ) {
            let mut slots = Slots::new();
            let mut model = BTreeMap::new();
            // Twice as many insertions as removals first, so that large forms are met, and then the other way round.
            let half = operations.len() / 2;
            for (n, (choice, place, word)) in operations.into_iter().enumerate() {
                let place = place % span;
                let before = slots.heap_bytes();
                let growth = slots.growth_bytes(place);
                if (choice > 0) ^ (drain && n > half) {
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
