//! The plain map, and what it lets the store answer.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tmem::{Client, ClientConfig, Key, ObjectId, PoolKind, Statistics, Status};

use super::operation::{Operation, Target};
use crate::guest::{BAD, GOOD, Guest};
use crate::pages::mixed;

/// A put may fail for its limit when it comes as close to it as this: a slab's page and a dense leaf.
const NEAR_LIMIT_BYTES: u64 = 20 << 10;

/// A pool: the seed of each page that was accepted and not invalidated. An ephemeral page may have been evicted.
#[derive(Debug)]
struct Pool {
    kind: PoolKind,
    pages: BTreeMap<(ObjectId, u32), u64>,
}

/// The store as a map.
#[derive(Debug)]
pub struct Reference {
    pools: BTreeMap<u32, Pool>,
    /// Every id that was ever given out.
    ids: Vec<u32>,
    frozen: bool,
    limit: u64,
    /// Part of the limit with which a store that was full takes new pages again, in hundredths of a percent.
    accept_threshold: u64,
    /// What the counters must say.
    expected: Statistics,
    /// Evicted pages that an answer told of.
    evictions_known: u64,
}

impl Reference {
    pub fn new(config: &ClientConfig) -> Self {
        Self {
            pools: BTreeMap::new(),
            ids: Vec::new(),
            frozen: false,
            limit: config.limit_bytes,
            accept_threshold: config.accept_threshold_basis_points.into(),
            expected: Statistics::default(),
            evictions_known: 0,
        }
    }

    /// Makes one call and compares the answer.
    pub fn apply(&mut self, client: &Client, operation: &Operation) -> Result<(), TestCaseError> {
        match *operation {
            Operation::Put { target, seed, fault } => self.put(client, self.key(target), seed, fault)?,
            Operation::Get { target, exclusive, fault } => self.get(client, self.key(target), exclusive, fault)?,
            Operation::FlushRange { target, count } => {
                let key = self.key(target);
                let status = client.flush_range(key.pool, key.object, key.index, count);
                self.flush(key, u64::from(key.index), count, status)?;
            }
            Operation::FlushObject { target } => {
                let key = self.key(target);
                let status = client.flush_object(key.pool, key.object);
                self.flush(key, 0, 1 << 32, status)?;
            }
            Operation::PoolNew { kind } => {
                let id = client.pool_new(kind).unwrap();
                prop_assert!(self.ids.iter().all(|earlier| *earlier < id), "id {} was given out before", id);
                self.ids.push(id);
                self.pools.insert(id, Pool { kind, pages: BTreeMap::new() });
            }
            Operation::PoolDestroy { pool } => {
                let id = self.id(pool);
                let status = if self.pools.remove(&id).is_some() { Status::Ok } else { Status::BadPool };
                prop_assert_eq!(client.pool_destroy(id), status);
            }
            Operation::Hello => {
                client.hello();
                self.pools.clear();
            }
            Operation::Freeze => {
                client.freeze();
                self.frozen = true;
            }
            Operation::Thaw => {
                client.thaw();
                self.frozen = false;
            }
            Operation::SetLimit { bytes } => self.set_limit(client, bytes)?,
            Operation::FlushEphemeral { bytes } => self.flush_ephemeral(client, bytes)?,
            Operation::Reclaim { pages } => drop(client.reclaim(pages)),
            Operation::Recompress => {
                client.recompress(|| true);
            }
            Operation::CompressStaged => drop(client.compress_staged(u64::MAX, || true)),
        }
        Ok(())
    }

    fn put(&mut self, client: &Client, key: Key, seed: u64, fault: bool) -> Result<(), TestCaseError> {
        let before = client.statistics();
        let status = client.put(key, if fault { BAD } else { GOOD }, &Guest::with(mixed(seed)));
        let Some(pool) = self.pools.get_mut(&key.pool) else {
            prop_assert_eq!(status, Status::BadPool);
            self.expected.puts_bad_pool += 1;
            return Ok(());
        };
        let name = (key.object, key.index);
        let surely_absent = !pool.pages.contains_key(&name);
        let near_limit = before.resident_bytes + NEAR_LIMIT_BYTES > self.limit;
        let persistent = pool.kind == PoolKind::Persistent;
        let waits = before.full == 1 && persistent && surely_absent;
        match status {
            Status::Ok => {
                prop_assert!(!fault);
                prop_assert!(!(self.frozen && surely_absent), "a new page was accepted while frozen");
                prop_assert!(client.statistics().resident_bytes <= self.limit, "the limit is enforced");
                let has_emptied = before.persistent_bytes * 10_000 <= self.limit * self.accept_threshold;
                let is_unknown = before.persistent_pages == 0 || before.detached_pages > 0;
                prop_assert!(!waits || has_emptied || is_unknown, "a new page was accepted above the threshold");
                self.expected.puts_accepted += 1;
            }
            Status::BadAddress => {
                prop_assert!(fault);
                self.expected.puts_bad_address += 1;
            }
            Status::Frozen => {
                prop_assert!(self.frozen);
                self.expected.puts_rejected_frozen += 1;
            }
            Status::OverLimit => {
                prop_assert!(near_limit || waits, "{} of {} bytes", before.resident_bytes, self.limit);
                self.expected.puts_rejected_over_limit += 1;
            }
            other => prop_assert!(false, "put answered {:?}", other),
        }
        let was_there = pool.pages.remove(&name).is_some();
        if status == Status::Ok {
            pool.pages.insert(name, seed);
        }
        let after = client.statistics();
        let duplicate = after.puts_duplicate - before.puts_duplicate;
        let dropped = after.pages_dropped_by_put - before.pages_dropped_by_put;
        if persistent {
            prop_assert_eq!(duplicate + dropped, u64::from(was_there));
        } else if was_there && duplicate + dropped == 0 {
            self.evictions_known += 1;
        }
        Ok(())
    }

    fn get(&mut self, client: &Client, key: Key, exclusive: bool, fault: bool) -> Result<(), TestCaseError> {
        let guest = Guest::blank();
        let status = client.get(key, if fault { BAD } else { GOOD }, exclusive, &guest);
        let Some(pool) = self.pools.get_mut(&key.pool) else {
            prop_assert_eq!(status, Status::BadPool);
            self.expected.gets_bad_pool += 1;
            return Ok(());
        };
        let name = (key.object, key.index);
        let seed = pool.pages.get(&name).copied();
        match status {
            Status::Ok => {
                prop_assert!(!fault);
                prop_assert!(seed.is_some_and(|seed| guest.page() == mixed(seed)), "not the page that was put");
                self.expected.gets_hit += 1;
                if exclusive {
                    self.expected.gets_exclusive += 1;
                    pool.pages.remove(&name);
                }
            }
            Status::BadAddress => {
                prop_assert!(fault && seed.is_some());
                self.expected.gets_bad_address += 1;
            }
            Status::Miss | Status::Empty => {
                prop_assert!(seed.is_none() || pool.kind == PoolKind::Ephemeral, "a persistent page is gone");
                let gone = if status == Status::Empty { pool.pages.len() } else { usize::from(seed.is_some()) };
                prop_assert!(gone == 0 || pool.kind == PoolKind::Ephemeral, "EMPTY, with a persistent page");
                prop_assert!(status == Status::Empty || !pool.pages.is_empty(), "MISS of a pool without a page");
                self.evictions_known += gone as u64;
                if status == Status::Empty {
                    pool.pages.clear();
                    self.expected.gets_empty += 1;
                } else {
                    pool.pages.remove(&name);
                    self.expected.gets_miss += 1;
                }
            }
            other => prop_assert!(false, "get answered {:?}", other),
        }
        Ok(())
    }

    fn flush(&mut self, key: Key, first: u64, count: u64, status: Status) -> Result<(), TestCaseError> {
        let Some(pool) = self.pools.get_mut(&key.pool) else {
            prop_assert_eq!(status, Status::BadPool);
            self.expected.flushes_bad_pool += 1;
            return Ok(());
        };
        let Some(end) = first.checked_add(count).filter(|end| *end <= 1 << 32) else {
            prop_assert_eq!(status, Status::BadArgument);
            self.expected.flushes_bad_argument += 1;
            return Ok(());
        };
        prop_assert_eq!(status, Status::Ok);
        let hit = |name: &(ObjectId, u32)| name.0 == key.object && (first..end).contains(&u64::from(name.1));
        pool.pages.retain(|name, _| !hit(name));
        Ok(())
    }

    fn set_limit(&mut self, client: &Client, bytes: u64) -> Result<(), TestCaseError> {
        client.set_limit(bytes);
        self.limit = bytes;
        let after = client.statistics();
        let enforced = after.resident_bytes <= bytes || after.ephemeral_pages == 0;
        prop_assert!(enforced, "ephemeral pages stay while the client is over its limit");
        Ok(())
    }

    fn flush_ephemeral(&mut self, client: &Client, bytes: u64) -> Result<(), TestCaseError> {
        let before = client.statistics();
        let freed = client.flush_ephemeral(bytes);
        let after = client.statistics();
        prop_assert_eq!(before.resident_bytes - after.resident_bytes, freed);
        prop_assert!(freed >= bytes || after.ephemeral_pages == 0, "{} of {} bytes", freed, bytes);
        Ok(())
    }

    /// Compares the counters, and the numbers of pages.
    pub fn check_sums(&mut self, client: &Client) -> Result<(), TestCaseError> {
        let is = client.statistics();
        let count = |kind| {
            let pools = self.pools.values().filter(|pool| pool.kind == kind);
            pools.map(|pool| pool.pages.len() as u64).sum::<u64>()
        };
        prop_assert_eq!(is.persistent_pages, count(PoolKind::Persistent));
        let unnoticed = count(PoolKind::Ephemeral).checked_sub(is.ephemeral_pages);
        let evictions = unnoticed.map(|unnoticed| unnoticed + self.evictions_known);
        prop_assert!(evictions.is_some_and(|evictions| evictions <= is.pages_evicted), "a page went unevicted");
        prop_assert_eq!(is.frozen, u64::from(self.frozen));
        prop_assert_eq!(is.pools, self.pools.len() as u64);
        let e = &self.expected;
        prop_assert_eq!(
            [
                is.puts_accepted,
                is.puts_rejected_frozen,
                is.puts_rejected_over_limit,
                is.puts_bad_address,
                is.puts_bad_pool
            ],
            [e.puts_accepted, e.puts_rejected_frozen, e.puts_rejected_over_limit, e.puts_bad_address, e.puts_bad_pool]
        );
        prop_assert_eq!(
            [is.gets_hit, is.gets_exclusive, is.gets_miss, is.gets_empty, is.gets_bad_address, is.gets_bad_pool],
            [e.gets_hit, e.gets_exclusive, e.gets_miss, e.gets_empty, e.gets_bad_address, e.gets_bad_pool]
        );
        prop_assert_eq!(
            [is.puts_rejected_no_space, is.puts_rejected_poor_ratio, is.puts_rejected_busy, is.gets_corrupt],
            [0; 4]
        );
        Ok(())
    }

    /// Compares every page.
    pub fn check_pages(&mut self, client: &Client) -> Result<(), TestCaseError> {
        let keys = self.pools.iter().flat_map(|(pool, contents)| {
            contents.pages.keys().map(|(object, index)| Key { pool: *pool, object: *object, index: *index })
        });
        for key in keys.collect::<Vec<_>>() {
            self.get(client, key, false, false)?;
        }
        self.check_sums(client)
    }

    fn id(&self, pool: usize) -> u32 {
        self.ids.iter().rev().nth(pool).copied().unwrap_or(u32::MAX - 1)
    }

    fn key(&self, target: Target) -> Key {
        Key { pool: self.id(target.pool), object: target.object, index: target.index }
    }
}
