//! One VM seen by the store: the pools of its present life, and the host's side.

mod account;
mod evict;
mod flush;
mod full;
mod get;
mod invariants;
mod merge;
mod part;
mod put;
mod ratio;
mod recompress;
mod replace;
mod room;
mod staged;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use hypercall_abi::Status;

use crate::acceptance::Acceptance;
use crate::arena::{ARENA_BYTES_MAX, ARENA_BYTES_MIN, Arena};
use crate::backing::Mapping;
use crate::config::{ClientConfig, StoreError};
use crate::dedup::Dedup;
use crate::detached::DetachedQueue;
use crate::eviction::{Policy, policy};
use crate::hand::Hand;
use crate::index::{HashKey, POOLS_MAX, Pool, PoolInUse, PoolPlace, Pools};
use crate::key::PoolKind;
use crate::quota::Quota;
use crate::sleepers::Sleepers;
use crate::staging::Staging;
use crate::statistics::{Counter, Counters, Statistics};

pub use recompress::Recompression;

/// With less left below its limit a client is full: the next copy of a page may find no room.
const FULL_BYTES: u64 = 64 << 10;

/// One VM seen by the store.
///
/// Besides what is charged to it, a client costs some 60 KiB of its own, 68 bytes for each page of its staging buffer that
/// is resident, and one set of buffers (100 KiB) for each thread that calls.
pub struct Client {
    config: ClientConfig,
    policy: &'static dyn Policy,
    pools: Pools,
    arena: Arena,
    staging: Staging<Mapping>,
    quota: Quota,
    acceptance: Acceptance,
    counters: Counters,
    /// Over the leaves of all persistent pools.
    persistent_hand: Hand,
    /// Over those of each ephemeral pool, by its place.
    ephemeral_hands: Box<[Hand]>,
    /// Pages evicted in the present turn, which ends when that are as many as there are.
    turn: AtomicU64,
    dedups: [Dedup; 2],
    detached: DetachedQueue,
    frozen: AtomicBool,
    refuses_ephemeral: AtomicBool,
    ephemeral_limit: AtomicU64,
    sleepers: Sleepers,
}

impl Client {
    /// A client without pools.
    ///
    /// # Errors
    /// A configuration that contradicts itself, or no address space for the arena.
    pub fn new(config: ClientConfig) -> Result<Self, StoreError> {
        let ClientConfig { limit_bytes, reservation_bytes, arena_bytes, .. } = config;
        if reservation_bytes > limit_bytes {
            return Err(StoreError::ReservationOverLimit { reservation_bytes, limit_bytes });
        }
        let len = usize::try_from(arena_bytes).map_err(|_| StoreError::ArenaSize { arena_bytes })?;
        if !(ARENA_BYTES_MIN..=ARENA_BYTES_MAX).contains(&arena_bytes) {
            return Err(StoreError::ArenaSize { arena_bytes });
        }
        let reserve = |len| Mapping::reserve(len).map_err(|source| StoreError::Reserve { bytes: len as u64, source });
        let staging_bytes = config.staging_bytes;
        Ok(Self {
            policy: policy(config.eviction),
            pools: Pools::new(),
            arena: Arena::new(reserve(len)?),
            staging: Staging::new(reserve(Staging::<Mapping>::address_bytes(staging_bytes))?, staging_bytes),
            quota: Quota::new(limit_bytes, reservation_bytes),
            acceptance: Acceptance::new(config.accept_threshold_basis_points),
            counters: Counters::new(),
            persistent_hand: Hand::default(),
            ephemeral_hands: (0..POOLS_MAX).map(|_| Hand::default()).collect(),
            turn: AtomicU64::new(0),
            dedups: config.hash_seed.map(Dedup::new),
            detached: DetachedQueue::default(),
            frozen: AtomicBool::new(false),
            refuses_ephemeral: AtomicBool::new(false),
            ephemeral_limit: AtomicU64::new(u64::MAX),
            sleepers: Sleepers::default(),
            config,
        })
    }

    /// Begins a new life of the guest: when it returns nothing of an earlier pool is readable, and the memory of all
    /// earlier pages is back, save those that another call is copying or freeing at this moment.
    pub fn hello(&self) {
        self.pools.take_all().into_iter().for_each(|pool| self.close(pool));
        self.reclaim(u64::MAX);
        self.dedups.iter().for_each(|dedup| dedup.clear(&self.quota));
        self.acceptance.open();
        self.release_idle();
        self.counters.count(Counter::Hellos);
        self.sleepers.wake();
    }

    /// Creates a pool and returns its id, which no earlier pool of this client had.
    ///
    /// # Errors
    /// [`Status::NoResources`] where there are [`POOLS_MAX`] pools, or no ids left.
    pub fn pool_new(&self, kind: PoolKind) -> Result<u32, Status> {
        let id = self.pools.create(kind, HashKey(self.config.hash_seed)).ok_or(Status::NoResources)?;
        self.quota.charge_metadata(Pools::POOL_BYTES);
        self.sleepers.wake();
        Ok(id)
    }

    /// Destroys a pool and everything in it.
    pub fn pool_destroy(&self, pool: u32) -> Status {
        let Some(pool) = self.pools.remove(pool) else {
            self.counters.count(Counter::FlushesBadPool);
            return Status::BadPool;
        };
        self.close(pool);
        self.counters.count(Counter::PoolDestroys);
        self.reclaim_some();
        self.sleepers.wake();
        Status::Ok
    }

    /// Rejects new puts until [`thaw`](Self::thaw). A put that replaces a page and needs no more room is still accepted.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
        self.sleepers.wake();
    }

    /// Accepts puts again.
    pub fn thaw(&self) {
        self.frozen.store(false, Ordering::Relaxed);
        self.sleepers.wake();
    }

    /// Whether new puts are rejected by a freeze.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Answers puts into ephemeral pools `OVER_LIMIT` from now on, or no longer: whatever its own limit, a client has no room
    /// for them where the host is short. What is stored stays, until it is evicted.
    pub fn refuse_ephemeral(&self, refuse: bool) {
        self.refuses_ephemeral.store(refuse, Ordering::Relaxed);
    }

    /// Sets the most resident bytes that the client may hold.
    ///
    /// Nothing that was accepted into a persistent pool is lost. Below the present use, ephemeral pages go at once, and
    /// puts are answered `OVER_LIMIT` until the use is down.
    pub fn set_limit(&self, bytes: u64) {
        if bytes < self.quota.used() {
            // While there is still room for the copies. A page that was loaded while it was staged is spared at first.
            for _ in 0..2 {
                self.compress_staged(u64::MAX, || true);
            }
        }
        let was_full = self.quota.left() < FULL_BYTES;
        self.quota.set_limit(bytes);
        if was_full && self.quota.left() >= FULL_BYTES {
            // There is room for what background work could not do.
            self.sleepers.wake();
        }
        if self.quota.excess() > 0 {
            self.reclaim(u64::MAX);
            self.flush_ephemeral(self.quota.excess());
        }
    }

    /// Most resident bytes that the client may hold.
    pub fn limit_bytes(&self) -> u64 {
        self.quota.limit()
    }

    /// Resident bytes that the client holds.
    pub fn used_bytes(&self) -> u64 {
        self.quota.used()
    }

    /// Sets the resident bytes that the host will not ask back. More than the limit counts as the limit.
    pub fn set_reservation(&self, bytes: u64) {
        self.quota.set_reservation(bytes);
    }

    /// Wakes `waker` once, by the next call that puts, loads or flushes, or by background work that makes the client
    /// smaller: for those who have nothing to do until then. A call that is under way now may be past that already, so
    /// whoever looks for work looks behind this.
    ///
    /// The call that wakes pays for it, and no other does.
    pub fn wake_at_next_call(&self, waker: &Waker) {
        self.sleepers.add(waker);
    }

    /// Wakes those who wait for the next call, as one would: something is different that they may want to see.
    pub fn wake_sleepers(&self) {
        self.sleepers.wake();
    }

    /// A snapshot of all counters and gauges.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            pools: self.pools.count() as u64,
            resident_bytes: self.quota.used(),
            metadata_bytes: self.quota.metadata(),
            limit_bytes: self.quota.limit(),
            reservation_bytes: self.quota.reservation(),
            frozen: u64::from(self.is_frozen()),
            full: u64::from(self.acceptance.is_closed()),
            ..self.counters.snapshot()
        }
    }

    /// The pool of this id in the guest's present life.
    fn pool(&self, id: u32) -> Option<PoolInUse> {
        self.pools.get(id)
    }

    /// The hand over the leaves of pools of this kind and place.
    fn hand(&self, kind: PoolKind, place: PoolPlace) -> &Hand {
        match kind {
            PoolKind::Persistent => &self.persistent_hand,
            PoolKind::Ephemeral => &self.ephemeral_hands[usize::from(place)],
        }
    }

    /// The hands over the leaves of this kind.
    fn hands(&self, kind: PoolKind) -> &[Hand] {
        match kind {
            PoolKind::Persistent => std::slice::from_ref(&self.persistent_hand),
            PoolKind::Ephemeral => &self.ephemeral_hands,
        }
    }

    /// What is known about equal pages of this kind.
    fn dedup(&self, kind: PoolKind) -> &Dedup {
        &self.dedups[kind as usize]
    }

    /// Hands a pool, out of the map already, over to be freed.
    fn close(&self, pool: Arc<Pool>) {
        pool.close();
        self.detached.push_pool(pool);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.config).field("quota", &self.quota).finish_non_exhaustive()
    }
}
