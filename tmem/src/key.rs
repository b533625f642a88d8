//! What a page is called.

use std::fmt;

/// Size of a page in bytes.
pub const PAGE_SIZE: usize = hypercall_abi::PAGE_SIZE;

/// The contents of one page.
pub type Page = [u8; PAGE_SIZE];

/// A guest-chosen name inside a pool: a file, a swap area.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub [u64; 3]);

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        write!(f, "{a:x}:{b:x}:{c:x}")
    }
}

/// The full name of a page inside one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Pool id, as [`Client::pool_new`](crate::Client::pool_new) returned it.
    pub pool: u32,
    /// Object inside the pool.
    pub object: ObjectId,
    /// Page number inside the object.
    pub index: u32,
}

/// What a pool promises about the pages it accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// Kept byte for byte until flushed, or until the pool or the client ends.
    Persistent,
    /// May vanish at any time; never stale.
    Ephemeral,
}
