//! What must hold whenever no call is under way; for the tests.

use crate::hand::Hand;
use crate::index::{Contents, LeafState, Object, Pool, Pools};
use crate::key::{PAGE_SIZE, PoolKind};

use super::Client;
use super::account::{LEAF_BYTES, OBJECT_BYTES};

/// Sums over the whole index.
#[derive(Debug, Default)]
struct Sums {
    pages: [u64; 2],
    slots: usize,
    staged: usize,
    references: [u64; 2],
    stored_bytes: u64,
    metadata_bytes: usize,
    objects: u64,
    leaves: [usize; 2],
}

impl Client {
    /// Frees what was flushed, adds everything up, and compares the sums with the account and the gauges.
    ///
    /// # Panics
    /// Where they differ, or a call is under way.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        while self.reclaim_detached(u64::MAX) > 0 {}
        let mut sums = Sums::default();
        for pool in self.pools.to_vec() {
            self.check_pool(&pool, &mut sums);
        }
        for dedup in &self.dedups {
            let shares = dedup.shares.holdings();
            sums.slots += shares.shares;
            sums.stored_bytes += shares.stored_bytes;
            sums.metadata_bytes += dedup.heap_bytes();
        }
        let references = self.dedups.each_ref().map(|dedup| dedup.shares.holdings().references);
        assert_eq!(references, sums.references, "every reference has one entry");
        let statistics = self.statistics();
        let holdings = self.arena.holdings();
        let staging = self.staging.holdings();
        assert_eq!([statistics.persistent_pages, statistics.ephemeral_pages], sums.pages, "pages by kind");
        assert_eq!(statistics.detached_pages, 0, "all flushed pages are free");
        assert_eq!(statistics.objects, sums.objects, "objects");
        let leaves = |kind| self.hands(kind).iter().map(Hand::leaves).sum::<usize>();
        assert_eq!([PoolKind::Persistent, PoolKind::Ephemeral].map(leaves), sums.leaves, "leaves that the hands know");
        assert_eq!(holdings.slots, sums.slots, "every slot has one entry");
        assert_eq!(staging.pages, sums.staged, "every staging page has one entry");
        assert_eq!(statistics.metadata_bytes, sums.metadata_bytes as u64, "metadata");
        let resident_bytes = holdings.resident_bytes + staging.resident_bytes;
        assert_eq!(statistics.resident_bytes, (resident_bytes + sums.metadata_bytes) as u64, "account");
        assert_eq!(statistics.persistent_bytes + statistics.ephemeral_bytes, sums.stored_bytes, "bytes by kind");
        assert!(sums.stored_bytes <= resident_bytes as u64, "what is stored is resident");
        let s = statistics;
        let bytes_by_tier = s.same_filled_bytes
            + s.shared_bytes
            + s.staged_bytes
            + s.raw_bytes
            + s.lz4_bytes
            + s.zstd_bytes
            + s.page_lz_bytes;
        assert_eq!(bytes_by_tier, sums.stored_bytes, "bytes by tier");
        assert_eq!(s.raw_bytes, s.raw_pages * PAGE_SIZE as u64, "raw pages are whole");
        let by_tier = s.same_filled_pages
            + s.shared_pages
            + s.staged_pages
            + s.raw_pages
            + s.lz4_pages
            + s.zstd_pages
            + s.page_lz_pages;
        assert_eq!(by_tier, sums.pages.iter().sum(), "pages by tier");
        let flushed = s.pages_flushed_by_range + s.pages_flushed_by_object + s.pages_flushed_by_pool;
        let gone = s.puts_duplicate + s.gets_exclusive + flushed + s.pages_dropped_by_put + s.pages_evicted;
        assert_eq!(s.puts_accepted, by_tier + gone, "every accepted page is here or its end was counted");
    }

    fn check_pool(&self, pool: &Pool, sums: &mut Sums) {
        let before = sums.pages[pool.kind() as usize];
        sums.metadata_bytes += Pools::POOL_BYTES;
        for object in pool.objects() {
            self.check_object(pool.kind(), &object, sums);
        }
        assert_eq!(pool.pages(), sums.pages[pool.kind() as usize] - before, "pages of a pool");
    }

    fn check_object(&self, kind: PoolKind, object: &Object, sums: &mut Sums) {
        let tree = object.tree().read();
        assert!(!object.is_cut_off() && !tree.is_empty(), "an object in the map has a page");
        let mut pages = 0;
        for leaf in tree.to_vec() {
            pages += self.check_leaf(kind, &leaf.lock(), sums);
        }
        assert_eq!(object.pages(), pages, "pages of an object");
        sums.pages[kind as usize] += pages;
        sums.objects += 1;
        sums.metadata_bytes += OBJECT_BYTES + tree.heap_bytes();
    }

    fn check_leaf(&self, kind: PoolKind, state: &LeafState, sums: &mut Sums) -> u64 {
        assert!(state.kind == kind && state.attached && !state.is_empty(), "a leaf in the tree has a page");
        assert!(!state.has_orphans(), "no reader is left");
        let mut pages = 0;
        let mut next = state.next(0);
        while let Some((place, entry)) = next {
            pages += 1;
            assert_eq!(entry.pins(), 0, "no reader is left");
            if let Some(contents) = entry.contents() {
                sums.slots += usize::from(matches!(contents, Contents::Stored(..)));
                sums.staged += usize::from(matches!(contents, Contents::Staged(_)));
                sums.references[kind as usize] += u64::from(matches!(contents, Contents::Shared(_)));
                sums.stored_bytes += contents.stored_bytes() as u64;
            }
            next = state.next(place + 1);
        }
        assert_eq!(pages, state.len() as u64, "pages of a leaf");
        sums.metadata_bytes += LEAF_BYTES + state.heap_bytes();
        sums.leaves[kind as usize] += 1;
        pages
    }
}
