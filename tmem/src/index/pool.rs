//! One pool: a map of objects.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashmap::{DashMap, Entry as MapEntry};
use siphasher::sip::SipHasher13;

use crate::key::{ObjectId, PoolKind};

use super::object::Object;

/// Shards of a pool's map; more would cost memory in each of a client's pools.
const SHARDS: usize = 16;

/// Makes the keyed hasher: a guest that knows no key cannot choose ids that collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashKey(pub(crate) [u64; 2]);

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

/// A numbered set of pages of one client.
#[derive(Debug)]
pub(crate) struct Pool {
    kind: PoolKind,
    closed: AtomicBool,
    /// Pages that a get can find.
    pages: AtomicU64,
    objects: DashMap<ObjectId, Arc<Object>, HashKey>,
}

impl Pool {
    /// Heap bytes of an empty pool: itself and its map's shards, each on cache lines of its own.
    pub(crate) const BYTES: usize = size_of::<Self>() + SHARDS * 128 + 64;

    pub(crate) fn new(kind: PoolKind, hash_key: HashKey) -> Self {
        let objects = DashMap::with_hasher_and_shard_amount(hash_key, SHARDS);
        Self { kind, closed: AtomicBool::new(false), pages: AtomicU64::new(0), objects }
    }

    pub(crate) fn kind(&self) -> PoolKind {
        self.kind
    }

    /// Whether the guest destroyed the pool while the caller held it.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Acquire)
    }

    pub(crate) fn add_page(&self) {
        self.pages.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn subtract_pages(&self, pages: u64) {
        self.pages.fetch_sub(pages, Ordering::Release);
    }

    pub(crate) fn object(&self, id: ObjectId) -> Option<Arc<Object>> {
        self.objects.get(&id).map(|object| Arc::clone(&object))
    }

    /// The object of this id, made by `create` where there is none. `None` where `create` refuses.
    pub(crate) fn object_or(&self, id: ObjectId, create: impl FnOnce() -> Option<Object>) -> Option<Arc<Object>> {
        // Nearly always there is one: all pages of a swap area are one object's. An entry would lock out other vCPUs.
        if let Some(object) = self.object(id) {
            return Some(object);
        }
        match self.objects.entry(id) {
            MapEntry::Occupied(object) => Some(Arc::clone(object.get())),
            MapEntry::Vacant(place) => create().map(|object| Arc::clone(&place.insert(Arc::new(object)))),
        }
    }

    /// Takes the object out of the map; its tree is still attached.
    pub(crate) fn remove(&self, id: ObjectId) -> Option<Arc<Object>> {
        self.objects.remove(&id).map(|(_, object)| object)
    }

    /// Takes `object` out of the map and cuts its tree off, if it has no leaf. Returns whether it did.
    pub(crate) fn remove_if_empty(&self, object: &Arc<Object>) -> bool {
        let cut_off = |present: &Arc<Object>| {
            let mut tree = present.tree().write();
            let empty = Arc::ptr_eq(present, object) && tree.leaves.is_empty();
            tree.attached &= !empty;
            empty
        };
        self.objects.remove_if(&object.id(), |_, present| cut_off(present)).is_some()
    }

    /// Every object, for the invariants.
    pub(crate) fn objects(&self) -> Vec<Arc<Object>> {
        self.objects.iter().map(|object| Arc::clone(&object)).collect()
    }

    /// The objects of a pool that nobody else holds.
    pub(crate) fn into_objects(self) -> impl Iterator<Item = Arc<Object>> {
        self.objects.into_iter().map(|(_, object)| object)
    }
}
