/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A clean cache below the file system: what is read from a disk is put into the
 * store, and looked for there before the disk is read.
 *
 * It is inclusive. Below the page cache nobody tells which pages are evicted, so
 * pages are put when they are read, and stay in the store when it is asked for
 * them (no exclusive gets).
 *
 * Only locked pages of a page cache that are not uptodate are put, which nobody
 * can change: the buffer of a direct read can change while it is copied, and
 * the store would hold what the disk never held. Reads into other memory, and
 * of parts of pages, go to the disk as if there were no cache.
 */
#ifndef TMEM_DISKCACHE_H
#define TMEM_DISKCACHE_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/types.h>

#include "backoff.h"
#include "diskcache_filter.h"
#include "diskcache_guard.h"

/* Blocks are pages of the disk. */
#define TMEM_SECTORS_PER_BLOCK (PAGE_SIZE >> SECTOR_SHIFT)

/* Pages of a read that the cache looks at: one call. */
#define TMEM_DISKREAD_MAX TMEM_REGION_BLOCKS

/**
 * struct tmem_diskcache - what the store holds of a disk
 * @pool: its pool, ephemeral
 * @blocks: size of the disk
 * @puts: puts that the store has accepted
 * @empty_at: @puts as it was before the store was asked and said that the pool
 *	is empty; as long as they are equal it need not be asked
 * @distrusted: a flush has failed, so stale pages may be there
 * @backoff: spares puts into a store that takes none
 * @guard: the writes under way
 * @filter: the scan filter
 * @held: bits set in @present
 * @present: a bit for 1 << @shift blocks: one of them may be in the
 *	store. Set under the guard's lock of the block that was put, cleared
 *	while a write of all of them is under way
 * @used: a bit for the same: one of them was got since it was put
 * @shift: 0 on all but large disks, to bound the memory
 * @probe: where the pages go that are asked for to see whether they are there
 */
struct tmem_diskcache {
	u32 pool;
	u64 blocks;
	atomic_long_t puts;
	long empty_at;
	bool distrusted;
	struct tmem_backoff backoff;
	struct tmem_guard guard;
	struct tmem_filter filter;
	atomic_long_t held;
	unsigned long *present;
	unsigned long *used;
	u32 shift;
	struct page *probe;
};

/**
 * struct tmem_diskread - a read on its way to the disk
 * @iter: its pages, before the block layer has moved on in the bio
 * @block: its first block
 * @pages: how many; at most TMEM_DISKREAD_MAX
 * @put: those to put when they are there, a bit each
 * @ticket: of the guard
 */
struct tmem_diskread {
	struct bvec_iter iter;
	u64 block;
	u64 put;
	u32 pages;
	struct tmem_guard_ticket ticket;
};

/*
 * Makes the cache of a disk of so many blocks, or returns an ERR_PTR: -ENOMEM,
 * -ENODEV where no host was found, -ENOSPC where it gives no pool.
 */
struct tmem_diskcache *tmem_diskcache_open(u64 blocks);

/* All bios have ended. Drops the pool, and with it all pages. */
void tmem_diskcache_close(struct tmem_diskcache *cache);

/**
 * enum tmem_diskcache_answer - what is left to do for a read
 * @TMEM_DISKCACHE_SERVED: nothing, all pages are there
 * @TMEM_DISKCACHE_READ: read the disk, then call tmem_diskcache_end_read(); the
 *	bio was cut to what is missing
 * @TMEM_DISKCACHE_BYPASS: read the disk
 */
enum tmem_diskcache_answer {
	TMEM_DISKCACHE_SERVED,
	TMEM_DISKCACHE_READ,
	TMEM_DISKCACHE_BYPASS,
};

/* Whether a read may be one that the cache has to do with; @sector as below. */
bool tmem_diskcache_may_read(const struct tmem_diskcache *cache,
			     struct bio *bio, u64 sector);

/* @sector: where the bio begins on the cached disk. */
enum tmem_diskcache_answer tmem_diskcache_read(struct tmem_diskcache *cache,
					       struct bio *bio, u64 sector,
					       struct tmem_diskread *read);

/* The disk was read without an error, and the bio's owner does not know yet. */
void tmem_diskcache_end_read(struct tmem_diskcache *cache, struct bio *bio,
			     const struct tmem_diskread *read);

/*
 * Blocks are about to be written, discarded or zeroed: when it returns none of
 * them is in the store, nor will be until the end of the write.
 */
void tmem_diskcache_begin_write(struct tmem_diskcache *cache, u64 first,
				u64 count);
void tmem_diskcache_end_write(struct tmem_diskcache *cache, u64 first,
			      u64 count);

/* Drops all pages. No bio is under way. */
void tmem_diskcache_drop_all(struct tmem_diskcache *cache);

#endif
