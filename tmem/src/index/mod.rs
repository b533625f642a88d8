//! Where a key's page is: pool → object → leaf → entry.
//!
//! ```text
//!  Pool ── Objects { id → Arc<Object> } ── Leaves { number → Arc<Leaf> } ── Slots { place → Entry (8 bytes) }
//! ```
//!
//! Lock order: a shard of the pool's map, then an object's tree, then a leaf. The map hands out the `Arc` and its guard
//! is gone before anything else is locked (the removal of an object alone works under the shard). No lock of the
//! index is held while guest memory is copied or a page is compressed or decompressed.

mod entry;
mod heap;
mod leaf;
mod leaves;
mod object;
mod objects;
#[cfg(all(test, loom))]
mod ownership;
mod pool;
mod pools;
mod slots;

pub(crate) use entry::{Contents, Entry, Tier};
pub(crate) use leaf::{LEAF_PAGES, Leaf, LeafState, Unpinned};
pub(crate) use object::Object;
pub(crate) use objects::{HashKey, Objects};
pub(crate) use pool::Pool;
pub use pools::POOLS_MAX;
pub(crate) use pools::{ObjectInUse, PoolInUse, PoolPlace, Pools};
