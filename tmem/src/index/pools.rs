//! The pools of the guest's present life, by id, each with its largest object at hand.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use hypercall_abi::POOL_ID_MAX;

use crate::key::{ObjectId, PoolKind};
use crate::lock::Lock;

use super::heap::shared_bytes;
use super::leaf::LEAF_PAGES;
use super::object::Object;
use super::objects::HashKey;
use super::pool::Pool;

/// Most pools that a client has at a time.
pub const POOLS_MAX: usize = 256;

/// Where a pool is among them: below [`POOLS_MAX`].
pub(crate) type PoolPlace = u8;

/// A table with a place for each pool that there may be: a pool is where its id modulo that says.
///
/// Looking one up counts nothing that other vCPUs count too.
#[derive(Debug)]
pub(crate) struct Pools {
    places: Box<[ArcSwapOption<Placed>]>,
    /// Places from this one on never had a pool.
    used: AtomicUsize,
    ids: Lock<Ids>,
}

/// What is in a place of the table.
#[derive(Debug)]
struct Placed {
    pool: Arc<Pool>,
    /// One large object of the pool, to be found without its map: a swap area, of which a pool has one as a rule.
    large: Option<Arc<Object>>,
}

#[derive(Debug, Default)]
struct Ids {
    /// The last id given out; ids are never used again.
    last: u32,
    /// Pools present.
    count: usize,
}

/// A pool in use. It is not freed as long as this lives.
pub(crate) struct PoolInUse(Guard<Option<Arc<Placed>>>);

impl PoolInUse {
    fn placed(&self) -> &Placed {
        self.0.as_deref().expect("made of a place that has a pool")
    }
}

impl Deref for PoolInUse {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.placed().pool
    }
}

/// An object in use. It is not freed as long as this lives.
pub(crate) enum ObjectInUse<'a> {
    Large(&'a Arc<Object>),
    Mapped(Arc<Object>),
}

impl Deref for ObjectInUse<'_> {
    type Target = Arc<Object>;

    fn deref(&self) -> &Arc<Object> {
        match self {
            Self::Large(object) => object,
            Self::Mapped(object) => object,
        }
    }
}

impl Pools {
    /// Heap bytes of an empty pool.
    pub(crate) const POOL_BYTES: usize = Pool::BYTES + shared_bytes::<Placed>();

    pub(crate) fn new() -> Self {
        let places = (0..POOLS_MAX).map(|_| ArcSwapOption::empty()).collect();
        Self { places, used: AtomicUsize::new(0), ids: Lock::default() }
    }

    /// The pool of this id.
    pub(crate) fn get(&self, id: u32) -> Option<PoolInUse> {
        let placed = self.place(id).load();
        placed.as_ref().is_some_and(|placed| placed.pool.id() == id).then(|| PoolInUse(placed))
    }

    /// The object of this id. One that is found cut off is found once more, or not at all.
    pub(crate) fn object<'a>(&self, pool: &'a PoolInUse, id: ObjectId) -> Option<ObjectInUse<'a>> {
        let large = pool.placed().large.as_ref();
        if let Some(large) = large.filter(|object| *object.id() == id && !object.is_cut_off()) {
            return Some(ObjectInUse::Large(large));
        }
        let object = pool.object(id)?;
        if large.is_none() && object.pages() > u64::from(LEAF_PAGES) {
            self.remember(&object);
        }
        Some(ObjectInUse::Mapped(object))
    }

    /// The object of this id, made by `create` where there is none. `None` where `create` refuses.
    pub(crate) fn object_or<'a>(
        &self,
        pool: &'a PoolInUse,
        id: ObjectId,
        create: impl FnOnce() -> Option<Object>,
    ) -> Option<ObjectInUse<'a>> {
        // Nearly always there is one: all pages of a swap area are one object's. To create locks out other vCPUs.
        self.object(pool, id).or_else(|| pool.object_or(id, create).map(ObjectInUse::Mapped))
    }

    /// Lets an object be found without its pool's map, if no other of the pool is.
    fn remember(&self, object: &Arc<Object>) {
        // Whoever cuts it off does so under the exclusive lock and forgets it then, and so sees what is done here.
        let tree = object.tree().read();
        let _ids = self.ids.lock();
        let pool = self.get(object.pool()).filter(|pool| pool.placed().large.is_none());
        if let Some(pool) = pool.filter(|_| !object.is_cut_off()) {
            self.set_large(&pool, Some(Arc::clone(object)));
            tree.favour_readers();
        }
    }

    /// Lets go of an object that was cut off.
    pub(crate) fn forget(&self, object: &Arc<Object>) {
        let find = || {
            let pool = self.get(object.pool())?;
            pool.placed().large.as_ref().is_some_and(|large| Arc::ptr_eq(large, object)).then_some(pool)
        };
        // Few objects are at hand.
        if find().is_none() {
            return;
        }
        let _ids = self.ids.lock();
        if let Some(pool) = find() {
            self.set_large(&pool, None);
        }
    }

    /// Changes which object of a pool is at hand. The caller holds the ids.
    fn set_large(&self, pool: &PoolInUse, large: Option<Arc<Object>>) {
        let pool = Arc::clone(&pool.placed().pool);
        self.place(pool.id()).store(Some(Arc::new(Placed { pool, large })));
    }

    /// Creates a pool and returns its id. `None` where there are as many as there may be, or no ids left.
    pub(crate) fn create(&self, kind: PoolKind, hash_key: HashKey) -> Option<u32> {
        let mut ids = self.ids.lock();
        if ids.count >= POOLS_MAX {
            return None;
        }
        // The place of the next id may have a pool that lives longer than those after it.
        let next = ids.last + 1..=POOL_ID_MAX;
        let id = next.take(POOLS_MAX).find(|id| self.place(*id).load().is_none())?;
        ids.last = id;
        ids.count += 1;
        self.used.fetch_max(usize::from(Self::place_of(id)) + 1, Ordering::Release);
        let pool = Arc::new(Pool::new(id, kind, hash_key));
        self.place(id).store(Some(Arc::new(Placed { pool, large: None })));
        Some(id)
    }

    /// Takes a pool out.
    pub(crate) fn remove(&self, id: u32) -> Option<Arc<Pool>> {
        let mut ids = self.ids.lock();
        self.get(id)?;
        ids.count -= 1;
        self.place(id).swap(None).map(|placed| Arc::clone(&placed.pool))
    }

    /// Takes all pools out.
    pub(crate) fn take_all(&self) -> Vec<Arc<Pool>> {
        let mut ids = self.ids.lock();
        ids.count = 0;
        self.places.iter().filter_map(|place| place.swap(None)).map(|placed| Arc::clone(&placed.pool)).collect()
    }

    /// Number of pools.
    pub(crate) fn count(&self) -> usize {
        self.ids.lock().count
    }

    /// Every place that may have a pool, with the pool.
    pub(crate) fn by_place(&self) -> impl Iterator<Item = Option<PoolInUse>> {
        let used = self.used.load(Ordering::Acquire);
        self.places[..used].iter().map(|place| {
            let placed = place.load();
            placed.is_some().then(|| PoolInUse(placed))
        })
    }

    /// The place of the pool of this id, which another had before it, or will have.
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of 256 fits")]
    pub(crate) fn place_of(id: u32) -> PoolPlace {
        (id as usize % POOLS_MAX) as PoolPlace
    }

    /// Every pool, for the invariants.
    pub(crate) fn to_vec(&self) -> Vec<Arc<Pool>> {
        self.places.iter().filter_map(|place| place.load().as_ref().map(|placed| Arc::clone(&placed.pool))).collect()
    }

    fn place(&self, id: u32) -> &ArcSwapOption<Placed> {
        &self.places[usize::from(Self::place_of(id))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_around_pools_that_stay() {
        let pools = Pools::new();
        let create = || pools.create(PoolKind::Ephemeral, HashKey([0; 2]));
        let stays = create().unwrap();
        let others: Vec<u32> = (0..3 * POOLS_MAX)
            .map(|_| {
                let id = create().unwrap();
                assert!(pools.remove(id).is_some() && pools.get(id).is_none());
                id
            })
            .collect();
        assert!(others.is_sorted_by(|a, b| a < b) && others[0] > stays);
        assert!(others.iter().all(|id| id % 256 != stays % 256));
        assert_eq!((pools.get(stays).map(|pool| pool.id()), pools.count()), (Some(stays), 1));
    }
}
