//! What the store makes of a page's contents, without storing it.

use crate::config::CodecChoice;
use crate::index::Tier;
use crate::key::Page;

use super::{Packed, with_scratch};

/// How a page is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// One 64-bit word, repeated, that fits into the index: no bytes of the arena.
    SameFilled,
    /// One 64-bit word, repeated, that takes eight bytes of the arena.
    SameFilledWide,
    /// As it is.
    Raw,
    /// Compressed.
    Compressed {
        /// To this many bytes, before the arena's rounding.
        bytes: u16,
    },
}

impl Form {
    /// What `codec` makes of `page`; as much work as a put, but for the index.
    #[must_use]
    pub fn of(page: &Page, codec: CodecChoice) -> Self {
        with_scratch(|scratch| {
            *scratch.page = *page;
            match scratch.pack(codec) {
                Packed::Fill(_) => Self::SameFilled,
                Packed::Stored(Tier::SameFilled, _) => Self::SameFilledWide,
                Packed::Stored(_, bytes) => {
                    let compressed = u16::try_from(bytes.len()).ok().filter(|len| usize::from(*len) < page.len());
                    compressed.map_or(Self::Raw, |bytes| Self::Compressed { bytes })
                }
            }
        })
    }
}
