//! Counters and gauges of one client: one reason, one code, one counter.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::caller::{self, SHARED};

/// Number of counter sets: one for each of the first threads, so that vCPUs do not fight for a cache line, and the last one
/// for all others.
const SHARDS: usize = SHARED + 1;

/// Declares the fields that are counted on the data path (`counted`) and those that are filled in when a snapshot is
/// taken (`observed`), and from the one list the struct, the counter names and the table.
macro_rules! statistics {
    (
        counted { $($(#[$counted_doc:meta])* $counted:ident / $variant:ident,)* }
        observed { $($(#[$observed_doc:meta])* $observed:ident,)* }
    ) => {
        /// A snapshot of a client's counters and gauges.
        ///
        /// Each number is exact once the calls that change it have returned; numbers of calls still under way may
        /// be seen partly.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Statistics {
            $($(#[$counted_doc])* pub $counted: u64,)*
            $($(#[$observed_doc])* pub $observed: u64,)*
        }

        impl Statistics {
            /// Every field with its name, in the order of their declaration.
            pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [
                    $((stringify!($counted), self.$counted),)*
                    $((stringify!($observed), self.$observed),)*
                ]
                .into_iter()
            }
        }

        /// Names one field that the data path counts.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Counter {
            $($variant,)*
        }

        impl Counter {
            const COUNT: usize = [$(Self::$variant),*].len();
        }

        impl Counters {
            /// The counted fields; the observed ones are 0.
            pub(crate) fn snapshot(&self) -> Statistics {
                Statistics {
                    $($counted: self.sum(Counter::$variant),)*
                    ..Statistics::default()
                }
            }
        }
    };
}

statistics! {
    counted {
        /// Puts answered `OK`.
        puts_accepted / PutsAccepted,
        /// Accepted puts that replaced an older page of the same key.
        puts_duplicate / PutsDuplicate,
        /// Puts rejected because the arena is full.
        puts_rejected_no_space / PutsNoSpace,
        /// Puts rejected because the client is at its limit.
        puts_rejected_over_limit / PutsOverLimit,
        /// Puts rejected because the client is frozen.
        puts_rejected_frozen / PutsFrozen,
        /// Puts rejected because the page is stored in more bytes than the configuration allows.
        puts_rejected_poor_ratio / PutsPoorRatio,
        /// Puts rejected because the key's object was flushed over and over meanwhile.
        puts_rejected_busy / PutsBusy,
        /// Puts that named no pool.
        puts_bad_pool / PutsBadPool,
        /// Puts that named no frame of guest memory.
        puts_bad_address / PutsBadAddress,
        /// Gets answered `OK`, exclusive ones included.
        gets_hit / GetsHit,
        /// Exclusive gets answered `OK`: as many pages left the store.
        gets_exclusive / GetsExclusive,
        /// Gets answered `MISS`.
        gets_miss / GetsMiss,
        /// Gets answered `EMPTY`.
        gets_empty / GetsEmpty,
        /// Gets that named no pool.
        gets_bad_pool / GetsBadPool,
        /// Gets that named no frame of guest memory.
        gets_bad_address / GetsBadAddress,
        /// Gets answered `MISS` because the stored bytes did not decompress: a fault of this program or of memory.
        gets_corrupt / GetsCorrupt,
        /// Range flushes answered `OK`.
        range_flushes / RangeFlushes,
        /// Object flushes answered `OK`.
        object_flushes / ObjectFlushes,
        /// Pools destroyed by the guest.
        pool_destroys / PoolDestroys,
        /// Flushes and destroys that named no pool.
        flushes_bad_pool / FlushesBadPool,
        /// Range flushes that went beyond the last index.
        flushes_bad_argument / FlushesBadArgument,
        /// New lives of the guest begun.
        hellos / Hellos,
        /// Pages invalidated by range flushes.
        pages_flushed_by_range / PagesFlushedByRange,
        /// Pages invalidated by object flushes.
        pages_flushed_by_object / PagesFlushedByObject,
        /// Pages invalidated with their pool, by its destruction or a new life of the guest.
        pages_flushed_by_pool / PagesFlushedByPool,
        /// Older copies dropped by a put that was not accepted.
        pages_dropped_by_put / PagesDroppedByPut,
        /// Ephemeral pages evicted.
        pages_evicted / PagesEvicted,
        /// Accepted puts whose page went into the staging buffer as it was.
        puts_staged / PutsStaged,
        /// Staged pages that were compressed later; the others were replaced, taken or flushed before.
        pages_unstaged / PagesUnstaged,
        /// Pages that turned out equal to another and share its place.
        pages_merged / PagesMerged,
        /// Cold pages that were compressed once more.
        pages_recompressed / PagesRecompressed,
        /// Pages that were moved to empty a slab.
        pages_moved / PagesMoved,
        /// Pages stored as one repeated word. Like all tiers: pages detached by a flush count until they are freed.
        same_filled_pages / SameFilledPages,
        /// Pages that share a place with others.
        shared_pages / SharedPages,
        /// Pages in the staging buffer, not compressed yet.
        staged_pages / StagedPages,
        /// Pages stored raw.
        raw_pages / RawPages,
        /// Pages stored compressed by LZ4.
        lz4_pages / Lz4Pages,
        /// Pages stored compressed by Zstandard.
        zstd_pages / ZstdPages,
        /// Pages stored compressed by the codec for single pages.
        page_lz_pages / PageLzPages,
        /// Bytes of same-filled words that did not fit into the index.
        same_filled_bytes / SameFilledBytes,
        /// Bytes in places that pages share, each counted once.
        shared_bytes / SharedBytes,
        /// Bytes of pages in the staging buffer.
        staged_bytes / StagedBytes,
        /// Bytes of pages stored raw, before the arena's rounding.
        raw_bytes / RawBytes,
        /// Bytes of pages compressed by LZ4, before the arena's rounding.
        lz4_bytes / Lz4Bytes,
        /// Bytes of pages compressed by Zstandard, before the arena's rounding.
        zstd_bytes / ZstdBytes,
        /// Bytes of pages compressed by the codec for single pages, before the arena's rounding.
        page_lz_bytes / PageLzBytes,
        /// Stored bytes of pages in persistent pools, before the arena's rounding.
        persistent_bytes / PersistentBytes,
        /// Stored bytes of pages in ephemeral pools, before the arena's rounding.
        ephemeral_bytes / EphemeralBytes,
        /// Pages in persistent pools that a get can find.
        persistent_pages / PersistentPages,
        /// Pages in ephemeral pools that a get can find.
        ephemeral_pages / EphemeralPages,
        /// Pages flushed but not yet freed.
        detached_pages / DetachedPages,
        /// Objects that hold pages or are about to.
        objects / Objects,
    }
    observed {
        /// Pools of the guest's present life.
        pools,
        /// Bytes charged: data and metadata, as the process's resident memory shows them.
        resident_bytes,
        /// The part of `resident_bytes` that is index and not page data.
        metadata_bytes,
        /// Most `resident_bytes` that the client may reach.
        limit_bytes,
        /// Resident bytes that the host will not ask back.
        reservation_bytes,
        /// 1 while new puts are rejected by a freeze, else 0.
        frozen,
        /// 1 since a persistent put found no room, until enough is gone for new ones; else 0. Always 0 without a threshold.
        full,
    }
}

impl Statistics {
    /// What ephemeral pages take: their stored bytes, and their part of the index. What the arena leaves empty is not in it.
    #[must_use]
    pub fn ephemeral_taken_bytes(&self) -> u64 {
        let pages = [self.persistent_pages, self.ephemeral_pages];
        self.ephemeral_bytes.saturating_add(ephemeral_metadata(self.metadata_bytes, pages))
    }
}

/// The part of the index that is for ephemeral pages, where there are so many pages, persistent and ephemeral.
pub(crate) fn ephemeral_metadata(bytes: u64, [persistent, ephemeral]: [u64; 2]) -> u64 {
    let pages = u128::from(persistent) + u128::from(ephemeral);
    let part = u128::from(bytes) * u128::from(ephemeral) / pages.max(1);
    u64::try_from(part).unwrap_or(bytes)
}

/// One set of counters, on cache lines of its own.
#[repr(align(128))]
#[derive(Debug)]
struct Shard([AtomicU64; Counter::COUNT]);

/// The counters of one client; adding is lossless and touches only the thread's own set.
#[derive(Debug)]
pub(crate) struct Counters {
    shards: Box<[Shard]>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let shard = |_| Shard(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { shards: (0..SHARDS).map(shard).collect() }
    }

    /// Counts one.
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `amount`.
    pub(crate) fn add(&self, counter: Counter, amount: u64) {
        if amount != 0 {
            self.change(counter, amount);
        }
    }

    /// Takes `amount` off a gauge. One set may wrap below 0 where another thread did the adding; the sum does not.
    pub(crate) fn subtract(&self, counter: Counter, amount: u64) {
        if amount != 0 {
            self.change(counter, amount.wrapping_neg());
        }
    }

    fn change(&self, counter: Counter, by: u64) {
        let shard = caller::number();
        let value = &self.shards[shard].0[counter as usize];
        if shard == SHARED {
            value.fetch_add(by, Ordering::Relaxed);
        } else {
            // Nobody else writes it: a plain addition, a fifth of the cost of an atomic one.
            value.store(value.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        }
    }

    /// The present value of one counter or gauge.
    pub(crate) fn sum(&self, counter: Counter) -> u64 {
        let [sum] = self.sums([&[counter]]);
        sum
    }

    /// The present values of several groups of counters or gauges, each added up; in one pass over the sets.
    ///
    /// A gauge that changes meanwhile may be seen to lose in one set what it has not been seen to gain in another: less
    /// than none is none.
    pub(crate) fn sums<const N: usize>(&self, groups: [&[Counter]; N]) -> [u64; N] {
        let mut sums = [0; N];
        for Shard(values) in &self.shards {
            for (sum, group) in sums.iter_mut().zip(groups) {
                let values = group.iter().map(|counter| values[*counter as usize].load(Ordering::Relaxed));
                *sum = values.fold(*sum, u64::wrapping_add);
            }
        }
        sums.map(|sum| if sum.cast_signed() < 0 { 0 } else { sum })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_lost_whoever_counts() {
        let counters = Counters::new();
        // More threads than sets, and one after the other in the same set.
        for _ in 0..3 {
            thread::scope(|scope| {
                for _ in 0..40 {
                    scope.spawn(|| {
                        (0..1000).for_each(|_| counters.count(Counter::GetsHit));
                        counters.subtract(Counter::GetsHit, 500);
                    });
                }
            });
        }
        assert_eq!(counters.snapshot().gets_hit, 3 * 40 * 500);
    }

    #[test]
    fn a_gauge_that_is_seen_to_lose_first_is_none() {
        let counters = Counters::new();
        counters.subtract(Counter::EphemeralPages, 3);
        assert_eq!((counters.sum(Counter::EphemeralPages), counters.snapshot().ephemeral_pages), (0, 0));
        counters.add(Counter::EphemeralPages, 5);
        assert_eq!(counters.sum(Counter::EphemeralPages), 2);
    }
}
