//! The eight bytes that the index keeps for a page.

use crate::arena::Slot;
use crate::key::PAGE_SIZE;

/// How a page is kept (the order is that of the stored tags); recorded with it, never decided when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// One 64-bit word, repeated.
    SameFilled,
    /// As it is.
    Raw,
    /// Compressed by LZ4.
    Lz4,
    /// Compressed by Zstandard.
    Zstd,
    /// Compressed by the codec for single pages.
    PageLz,
}

/// Where a page's contents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// In the entry itself: one word, repeated.
    Fill(u64),
    /// In the slot of this share, with other pages.
    Shared(u32),
    /// As it is, in this page of the staging buffer.
    Staged(u32),
    /// In a slot of the arena.
    Stored(Tier, Slot),
}

impl Contents {
    /// Bytes stored for this page alone, before any rounding.
    pub(crate) fn stored_bytes(self) -> usize {
        match self {
            Self::Fill(_) | Self::Shared(_) => 0,
            Self::Staged(_) => PAGE_SIZE,
            Self::Stored(_, slot) => slot.len(),
        }
    }

    /// Bytes of room taken for this page alone.
    pub(crate) fn room(self) -> usize {
        match self {
            Self::Fill(_) | Self::Shared(_) => 0,
            Self::Staged(_) => PAGE_SIZE,
            Self::Stored(_, slot) => slot.room(),
        }
    }

    /// Whether a reader must pin the entry. A word is copied with its entry, and a share counts its readers itself.
    pub(crate) fn is_pinned_by_entry(self) -> bool {
        matches!(self, Self::Staged(_) | Self::Stored(..))
    }
}

/// One page of the index, or none.
///
/// ```text
///  63 62 61              26 25        14 13      6 5   4 3    0
///  ┌──┬─┬──────────────────┬────────────┬─────────┬─────┬──────┐
///  │ S│0│ place (16 bytes) │ length − 1 │  pins   │ age │ kind │  stored
///  ├──┼─┼──────────────────┼────────────┼─────────┼─────┼──────┤
///  │ 0│0│  staging page    │     0      │  pins   │ age │ kind │  staged
///  ├──┼─┼──────────────────┼────────────┼─────────┼─────┼──────┤
///  │ 0│0│      share       │     0      │    0    │ age │ kind │  shared
///  ├──┴─┴──────────────────┴────────────┴─────────┼─────┼──────┤
///  │        word, its sign extended from bit 57   │ age │ kind │  same-filled
///  └──────────────────────────────────────────────┴─────┴──────┘
/// ```
///
/// *S* says that the page is settled: compressed as far as it goes.
///
/// *pins* counts the readers that copy from the place outside the leaf's lock. A pinned place is not freed when its
/// entry goes: the leaf keeps the entry as an orphan and the last reader frees it. So an entry that still names the
/// place a reader pinned is the entry it read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry(u64);

const KIND_BITS: u32 = 4;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;
const KIND_FILL: u64 = 1;
const KIND_SHARED: u64 = 2;
const KIND_STAGED: u64 = 3;
/// The first of the stored tiers.
const KIND_STORED: u64 = 4;
const AGE_SHIFT: u32 = KIND_BITS;
const AGE_MASK: u64 = 3;
const PINS_SHIFT: u32 = 6;
const PINS_MASK: u64 = 0xff;
const LENGTH_SHIFT: u32 = 14;
const LENGTH_MASK: u64 = PAGE_SIZE as u64 - 1;
const PLACE_SHIFT: u32 = 26;
const SETTLED: u64 = 1 << 63;
/// 36 bits of a place, without the bits above.
const PLACE_MASK: u64 = (1 << 36) - 1;
const FILL_SHIFT: u32 = 6;

impl Entry {
    /// No page.
    pub(crate) const ABSENT: Self = Self(0);

    /// The entry of a page that was just put.
    pub(crate) fn new(contents: Contents) -> Self {
        Self(match contents {
            Contents::Fill(word) => word << FILL_SHIFT | KIND_FILL,
            Contents::Shared(id) => u64::from(id) << PLACE_SHIFT | KIND_SHARED,
            Contents::Staged(page) => u64::from(page) << PLACE_SHIFT | KIND_STAGED,
            Contents::Stored(tier, slot) => {
                let length = slot.len() as u64 - 1;
                slot.place() << PLACE_SHIFT | length << LENGTH_SHIFT | (KIND_STORED + tier as u64)
            }
        })
    }

    /// Whether a same-filled page of this word needs no slot.
    pub(crate) fn holds_fill(word: u64) -> bool {
        sign_extended(word << FILL_SHIFT) == word
    }

    pub(crate) fn is_absent(self) -> bool {
        self == Self::ABSENT
    }

    /// What the entry says, if there is a page.
    #[allow(clippy::cast_possible_truncation, reason = "shares and staging pages have 32 bits")]
    pub(crate) fn contents(self) -> Option<Contents> {
        let place = self.0 >> PLACE_SHIFT & PLACE_MASK;
        match self.0 & KIND_MASK {
            0 => None,
            KIND_FILL => Some(Contents::Fill(sign_extended(self.0))),
            KIND_SHARED => Some(Contents::Shared(place as u32)),
            KIND_STAGED => Some(Contents::Staged(place as u32)),
            kind => {
                let len = (self.0 >> LENGTH_SHIFT & LENGTH_MASK) as usize + 1;
                let slot = Slot::new(place, len);
                let tier = match kind - KIND_STORED {
                    0 => Tier::SameFilled,
                    1 => Tier::Raw,
                    2 => Tier::Lz4,
                    3 => Tier::Zstd,
                    _ => Tier::PageLz,
                };
                Some(Contents::Stored(tier, slot))
            }
        }
    }

    /// How well the page was used: 0 to 3, for the eviction policy.
    pub(crate) fn age(self) -> u8 {
        (self.0 >> AGE_SHIFT & AGE_MASK) as u8
    }

    pub(crate) fn with_age(self, age: u8) -> Self {
        Self(self.0 & !(AGE_MASK << AGE_SHIFT) | (u64::from(age) & AGE_MASK) << AGE_SHIFT)
    }

    /// Whether the page was found not to get smaller.
    pub(crate) fn is_settled(self) -> bool {
        self.is_pinnable() && self.0 & SETTLED != 0
    }

    /// The same for a page that does not get smaller.
    pub(crate) fn settled(self) -> Self {
        if self.is_pinnable() { Self(self.0 | SETTLED) } else { self }
    }

    /// Readers that copy from the place.
    pub(crate) fn pins(self) -> u64 {
        if self.is_pinnable() { self.0 >> PINS_SHIFT & PINS_MASK } else { 0 }
    }

    /// One reader more; `None` when there are as many as can be counted.
    pub(crate) fn pinned(self) -> Option<Self> {
        (self.is_pinnable() && self.pins() < PINS_MASK).then(|| Self(self.0 + (1 << PINS_SHIFT)))
    }

    /// One reader less.
    pub(crate) fn unpinned(self) -> Self {
        debug_assert!(self.pins() > 0, "every unpin has its pin");
        Self(self.0 - (1 << PINS_SHIFT))
    }

    fn is_pinnable(self) -> bool {
        self.0 & KIND_MASK >= KIND_STAGED
    }
}

/// The word of a same-filled entry.
fn sign_extended(entry: u64) -> u64 {
    (entry.cast_signed() >> FILL_SHIFT).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_gives_back_what_it_was_made_of() {
        let contents = Contents::Stored(Tier::Lz4, Slot::new((1 << 36) - 1, PAGE_SIZE));
        let entry = Entry::new(contents).with_age(3);
        assert_eq!(entry.contents(), Some(contents));
        assert_eq!((entry.age(), entry.pins(), entry.is_settled()), (3, 0, false));
        assert!(entry.settled().is_settled());
        assert_eq!(entry.settled().contents(), Some(contents));
        for contents in [Contents::Staged(u32::MAX), Contents::Shared(u32::MAX)] {
            assert_eq!(Entry::new(contents).with_age(2).contents(), Some(contents));
        }
    }

    #[test]
    fn pins_are_counted_and_bounded() {
        let entry = Entry::new(Contents::Stored(Tier::Raw, Slot::new(7, 99)));
        let full = (0..255).fold(entry, |entry, _| entry.pinned().unwrap());
        assert_eq!(full.pinned(), None);
        assert_eq!(full.contents(), entry.contents());
        assert_eq!(full.unpinned().pins(), 254);
    }

    #[test]
    fn small_positive_and_negative_words_need_no_slot() {
        let words = [0, 1, u64::MAX, (1 << 57) - 1];
        assert!(words.iter().all(|word| Entry::holds_fill(*word)));
        assert!(words.iter().all(|word| Entry::new(Contents::Fill(*word)).contents() == Some(Contents::Fill(*word))));
        assert!(!Entry::holds_fill(1 << 57));
        assert!(!Entry::holds_fill(0xaaaa_aaaa_aaaa_aaaa));
    }
}
