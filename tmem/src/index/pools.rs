//! The pools of the guest's present life, by id.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use hypercall_abi::POOL_ID_MAX;

use crate::key::PoolKind;
use crate::lock::Lock;

use super::objects::HashKey;
use super::pool::Pool;

/// Most pools that a client has at a time.
pub const POOLS_MAX: usize = 256;

/// A table with a place for each pool that there may be: a pool is where its id modulo that says.
///
/// Looking one up counts nothing that other vCPUs count too.
#[derive(Debug)]
pub(crate) struct Pools {
    places: Box<[ArcSwapOption<Pool>]>,
    ids: Lock<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    /// The last id given out; ids are never used again.
    last: u32,
    /// Pools present.
    count: usize,
}

/// A pool in use. It is not freed as long as this lives.
pub(crate) struct PoolInUse(Guard<Option<Arc<Pool>>>);

impl Deref for PoolInUse {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        self.0.as_deref().expect("made of a place that has a pool")
    }
}

impl Pools {
    pub(crate) fn new() -> Self {
        Self { places: (0..POOLS_MAX).map(|_| ArcSwapOption::empty()).collect(), ids: Lock::default() }
    }

    /// The pool of this id.
    pub(crate) fn get(&self, id: u32) -> Option<PoolInUse> {
        let pool = self.place(id).load();
        pool.as_ref().is_some_and(|pool| pool.id() == id).then(|| PoolInUse(pool))
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
        self.place(id).store(Some(Arc::new(Pool::new(id, kind, hash_key))));
        Some(id)
    }

    /// Takes a pool out.
    pub(crate) fn remove(&self, id: u32) -> Option<Arc<Pool>> {
        let mut ids = self.ids.lock();
        self.get(id)?;
        ids.count -= 1;
        self.place(id).swap(None)
    }

    /// Takes all pools out.
    pub(crate) fn take_all(&self) -> Vec<Arc<Pool>> {
        let mut ids = self.ids.lock();
        ids.count = 0;
        self.places.iter().filter_map(|place| place.swap(None)).collect()
    }

    /// Number of pools.
    pub(crate) fn count(&self) -> usize {
        self.ids.lock().count
    }

    /// Every pool, for the invariants.
    pub(crate) fn to_vec(&self) -> Vec<Arc<Pool>> {
        self.places.iter().filter_map(ArcSwapOption::load_full).collect()
    }

    fn place(&self, id: u32) -> &ArcSwapOption<Pool> {
        &self.places[id as usize % POOLS_MAX]
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
