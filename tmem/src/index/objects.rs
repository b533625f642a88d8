//! The objects of one pool, by id.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use dashmap::{DashMap, SharedValue};
use siphasher::sip::SipHasher13;

use crate::key::ObjectId;

use super::object::Object;

/// Parts of the map, each behind a lock. More would cost memory in each of a client's pools.
const SHARDS: usize = 16;
/// A table that is smaller than this is not worth shrinking.
const SMALL: usize = 64;

/// Makes the keyed hasher: a guest that knows no key cannot choose ids that collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashKey(pub(crate) [u64; 2]);

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

/// An object as the key that it is found by.
#[derive(Debug)]
struct Named(Arc<Object>);

impl Borrow<ObjectId> for Named {
    fn borrow(&self) -> &ObjectId {
        self.0.id()
    }
}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for Named {}

/// A map whose keys are in the objects, so that an object's share of it is a pointer.
///
/// The pointer is cloned and the lock let go before anything else is locked; `remove_if` alone asks under it.
#[derive(Debug)]
pub(crate) struct Objects(DashMap<Named, (), HashKey>);

impl Objects {
    /// Heap bytes of an empty map: its shards, each on cache lines of its own.
    pub(crate) const BYTES: usize = SHARDS * 128;
    /// An object's share: a pointer and a control byte, in a table that is half full. Growing and shrinking leave it 3/8 to
    /// 7/8 full.
    pub(crate) const SHARE_BYTES: usize = 2 * (size_of::<Named>() + 1);

    pub(crate) fn new(key: HashKey) -> Self {
        Self(DashMap::with_hasher_and_shard_amount(key, SHARDS))
    }

    pub(crate) fn get(&self, id: ObjectId) -> Option<Arc<Object>> {
        self.0.get(&id).map(|object| Arc::clone(&object.key().0))
    }

    /// The object of this id, made by `create` where there is none. `None` where `create` refuses.
    pub(crate) fn get_or(&self, id: ObjectId, create: impl FnOnce() -> Option<Object>) -> Option<Arc<Object>> {
        let hash = self.hash(&id);
        let mut table = self.0.shards()[self.shard(hash)].write();
        if let Some((present, _)) = table.get(hash, |(object, _)| object.0.id() == &id) {
            return Some(Arc::clone(&present.0));
        }
        let object = Arc::new(create()?);
        let entry = (Named(Arc::clone(&object)), SharedValue::new(()));
        table.insert_entry(hash, entry, |(object, _)| self.hash(object.0.id()));
        Some(object)
    }

    /// Takes the object of this id out where `condition` holds for it.
    pub(crate) fn remove_if(&self, id: &ObjectId, condition: impl FnOnce(&Arc<Object>) -> bool) -> Option<Arc<Object>> {
        let hash = self.hash(id);
        let mut table = self.0.shards()[self.shard(hash)].write();
        let (found, _) = table.get(hash, |(object, _)| object.0.id() == id)?;
        if !condition(&found.0) {
            return None;
        }
        let (removed, _) = table.remove_entry(hash, |(object, _)| object.0.id() == id)?;
        // The map itself only shrinks as a whole.
        if table.capacity() > SMALL && table.len() < table.capacity() * 3 / 8 {
            table.shrink_to(0, |(object, _)| self.hash(object.0.id()));
        }
        Some(removed.0)
    }

    /// Every object, for the invariants.
    pub(crate) fn to_vec(&self) -> Vec<Arc<Object>> {
        self.0.iter().map(|object| Arc::clone(&object.key().0)).collect()
    }

    fn hash(&self, id: &ObjectId) -> u64 {
        self.0.hasher().hash_one(id)
    }

    #[allow(clippy::cast_possible_truncation, reason = "the map does so too; where it has 64 bits none are lost")]
    fn shard(&self, hash: u64) -> usize {
        self.0.determine_shard(hash as usize)
    }
}

impl IntoIterator for Objects {
    type Item = Arc<Object>;
    type IntoIter = Box<dyn Iterator<Item = Arc<Object>> + Send>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.0.into_iter().map(|(object, ())| object.0))
    }
}
