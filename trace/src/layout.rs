//! The bytes of a record; `docs/trace.md` has the whole of it.
//!
//! ```text
//!  byte 0                     then
//!  ┌────┬──────┬──────┐
//!  │ ok │ bits │ kind │       microseconds since the record before, key, fields, status where not ok
//!  └────┴──────┴──────┘
//!    7    4…6    0…3
//! ```

/// Bits of the first byte that are the kind.
pub(crate) const KIND_MASK: u8 = 0x0f;
/// The answer was `OK`; no status follows.
pub(crate) const OK: u8 = 0x80;
/// `PoolNew`: the pool is persistent.
pub(crate) const PERSISTENT: u8 = 0x10;
/// `Get`: the page was to leave the store.
pub(crate) const EXCLUSIVE: u8 = 0x10;
/// `Put`: place of the form, two bits.
pub(crate) const FORM_SHIFT: u32 = 4;
pub(crate) const FORM_MASK: u8 = 0x30;
/// `Put`: form and hash are there.
pub(crate) const CONTENT: u8 = 0x40;

/// Kinds of records.
pub(crate) mod kind {
    pub(crate) const END: u8 = 0;
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const POOL_NEW: u8 = 2;
    pub(crate) const POOL_DESTROY: u8 = 3;
    pub(crate) const PUT: u8 = 4;
    pub(crate) const GET: u8 = 5;
    pub(crate) const FLUSH_RANGE: u8 = 6;
    pub(crate) const FLUSH_OBJECT: u8 = 7;
    pub(crate) const SET_LIMIT: u8 = 8;
    pub(crate) const FREEZE: u8 = 9;
    pub(crate) const THAW: u8 = 10;
    pub(crate) const FLUSH_EPHEMERAL: u8 = 11;
    pub(crate) const LOST: u8 = 12;
}

/// Forms of a page by their two bits.
pub(crate) mod form {
    pub(crate) const SAME_FILLED: u8 = 0;
    pub(crate) const SAME_FILLED_WIDE: u8 = 1;
    pub(crate) const RAW: u8 = 2;
    pub(crate) const COMPRESSED: u8 = 3;
}

/// A signed number with its sign in bit 0, so that small ones stay short.
pub(crate) const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// The number that [`zigzag`] was given.
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_numbers_come_back() {
        let numbers = [0, -1, 1, i64::MIN, i64::MAX, -4_294_967_295];
        assert!(numbers.iter().all(|number| unzigzag(zigzag(*number)) == *number));
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
    }
}
