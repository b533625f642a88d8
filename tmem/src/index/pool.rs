//! One pool: a map of objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::key::{ObjectId, PoolKind};

use super::heap::{block_bytes, shared_bytes};
use super::object::Object;
use super::objects::{HashKey, Objects};

/// A numbered set of pages of one client.
#[derive(Debug)]
pub(crate) struct Pool {
    id: u32,
    kind: PoolKind,
    closed: AtomicBool,
    pages: Apart,
    objects: Objects,
}

/// Pages that a get can find; on a cache line of its own, because every put writes it, and what is beside it is read.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart(AtomicU64);

impl Pool {
    /// Heap bytes of an empty pool: itself and its map.
    pub(crate) const BYTES: usize = shared_bytes::<Self>() + block_bytes(Objects::BYTES);

    pub(crate) fn new(id: u32, kind: PoolKind, hash_key: HashKey) -> Self {
        let objects = Objects::new(hash_key);
        let (closed, pages) = (AtomicBool::new(false), Apart::default());
        Self { id, kind, closed, pages, objects }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
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
        self.pages.0.load(Ordering::Acquire)
    }

    pub(crate) fn add_page(&self) {
        self.pages.0.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn subtract_pages(&self, pages: u64) {
        self.pages.0.fetch_sub(pages, Ordering::Release);
    }

    /// The object of this id.
    pub(crate) fn object(&self, id: ObjectId) -> Option<Arc<Object>> {
        self.objects.get(id)
    }

    /// The object of this id, made by `create` where there is none. `None` where `create` refuses.
    pub(crate) fn object_or(&self, id: ObjectId, create: impl FnOnce() -> Option<Object>) -> Option<Arc<Object>> {
        self.objects.get_or(id, create)
    }

    /// Takes the object out of the map; its tree is still attached.
    pub(crate) fn remove(&self, id: ObjectId) -> Option<Arc<Object>> {
        self.objects.remove_if(&id, |_| true)
    }

    /// Takes `object` out of the map and cuts its tree off, if it has no leaf. Returns whether it did.
    pub(crate) fn remove_if_empty(&self, object: &Arc<Object>) -> bool {
        let cut_off = |present: &Arc<Object>| {
            let tree = present.tree().write();
            let empty = Arc::ptr_eq(present, object) && tree.is_empty();
            if empty {
                present.cut_off();
            }
            empty
        };
        self.objects.remove_if(object.id(), cut_off).is_some()
    }

    /// Every object, for the invariants.
    pub(crate) fn objects(&self) -> Vec<Arc<Object>> {
        self.objects.to_vec()
    }

    /// The objects of a pool that nobody else holds.
    pub(crate) fn into_objects(self) -> Box<dyn Iterator<Item = Arc<Object>> + Send> {
        self.objects.into_iter()
    }
}
