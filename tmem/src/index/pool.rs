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
    apart: Apart,
    objects: Objects,
}

/// What puts and gets write; on a cache line of its own, because what is beside it is read.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart {
    /// Pages that a get can find.
    pages: AtomicU64,
    /// Hits in the present turn of the store's contents, and in the one before.
    hits: [AtomicU64; 2],
}

impl Pool {
    /// Heap bytes of an empty pool: itself and its map.
    pub(crate) const BYTES: usize = shared_bytes::<Self>() + block_bytes(Objects::BYTES);

    pub(crate) fn new(id: u32, kind: PoolKind, hash_key: HashKey) -> Self {
        let objects = Objects::new(hash_key);
        let (closed, apart) = (AtomicBool::new(false), Apart::default());
        Self { id, kind, closed, apart, objects }
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
        self.apart.pages.load(Ordering::Acquire)
    }

    pub(crate) fn add_page(&self) {
        self.apart.pages.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn subtract_pages(&self, pages: u64) {
        self.apart.pages.fetch_sub(pages, Ordering::Release);
    }

    /// Counts a get that found its page.
    pub(crate) fn add_hit(&self) {
        self.apart.hits[0].fetch_add(1, Ordering::Relaxed);
    }

    /// Hits since the last turn but one began.
    pub(crate) fn hits(&self) -> u64 {
        self.apart.hits.iter().map(|hits| hits.load(Ordering::Relaxed)).sum()
    }

    /// Begins a turn.
    pub(crate) fn begin_turn(&self) {
        self.apart.hits[1].store(self.apart.hits[0].swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The object of this id.
    pub(crate) fn object(&self, id: ObjectId) -> Option<Arc<Object>> {
        self.objects.get(id)
    }

    /// The object of this id, made by `create` where there is none. `None` where `create` refuses.
    pub(crate) fn object_or(&self, id: ObjectId, create: impl FnOnce() -> Option<Object>) -> Option<Arc<Object>> {
        self.objects.get_or(id, create)
    }

    /// Takes the object out of the map and cuts its tree off, before anybody can see that it is not in the map.
    pub(crate) fn cut_off(&self, id: ObjectId) -> Option<Arc<Object>> {
        self.objects.remove_if(&id, |object| {
            let _tree = object.tree().write();
            object.cut_off();
            true
        })
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
