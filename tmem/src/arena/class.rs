//! Size classes: into how many slots a slab is cut.
//!
//! A class is named by that number, so that a slab has next to no waste at its end: a slot is a slab divided by the
//! number of slots, rounded down to the unit of places. Near a page the classes are an eighth apart, at half a page a
//! sixteenth, and below 700 bytes one unit.

use crate::key::PAGE_SIZE;

/// Bytes of a slab. Larger ones fit their slots better, smaller ones leave less empty in each class: measured on 60 MB of
/// pages, all of them recompressed, 64, 32 and 16 KiB take 1184, 1067 and 1052 bytes a page; fresh, 1426, 1446 and 1481.
pub(crate) const SLAB_BYTES: usize = 32 << 10;
/// Places are counted in units of this many bytes.
pub(crate) const UNIT_BYTES: usize = 16;
/// Units of a page, and so the most classes there can be.
const UNITS: usize = PAGE_SIZE / UNIT_BYTES;

/// The slot sizes, and which one a length takes.
struct Table {
    /// Bytes of a slot, by class.
    slot_bytes: [usize; UNITS],
    /// Class by length in units, less one.
    by_units: [u8; UNITS],
    count: usize,
}

const TABLE: Table = build();

#[allow(clippy::cast_possible_truncation, reason = "there are at most 256 classes, numbered from 0")]
const fn build() -> Table {
    let mut table = Table { slot_bytes: [0; UNITS], by_units: [0; UNITS], count: 0 };
    let mut units = 1;
    while units <= UNITS {
        let slots = SLAB_BYTES / (units * UNIT_BYTES);
        let bytes = SLAB_BYTES / slots / UNIT_BYTES * UNIT_BYTES;
        if table.count == 0 || table.slot_bytes[table.count - 1] != bytes {
            table.slot_bytes[table.count] = bytes;
            table.count += 1;
        }
        table.by_units[units - 1] = (table.count - 1) as u8;
        units += 1;
    }
    table
}

/// Number of classes.
pub(crate) const CLASSES: usize = TABLE.count;

/// The class for `len` bytes, 1 to a page.
pub(crate) fn class_of(len: usize) -> usize {
    usize::from(TABLE.by_units[(len.clamp(1, PAGE_SIZE) - 1) / UNIT_BYTES])
}

/// Bytes of a slot of `class`.
pub(crate) fn slot_bytes(class: usize) -> usize {
    TABLE.slot_bytes[class]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_fits_its_slot() {
        assert!((1..=PAGE_SIZE).all(|len| slot_bytes(class_of(len)) >= len));
    }

    #[test]
    fn a_raw_page_takes_a_page() {
        assert_eq!(slot_bytes(class_of(PAGE_SIZE)), PAGE_SIZE);
    }

    #[test]
    fn rounding_costs_little() {
        let given: usize = (1024..=PAGE_SIZE).map(|len| slot_bytes(class_of(len))).sum();
        let asked: usize = (1024..=PAGE_SIZE).sum();
        assert!((given - asked) * 100 < asked * 5, "{given} bytes for {asked}");
    }

    #[test]
    fn slabs_have_next_to_no_waste_at_their_end() {
        let waste = |class| SLAB_BYTES % slot_bytes(class);
        assert!((0..CLASSES).all(|class| waste(class) * 40 < SLAB_BYTES));
    }
}
