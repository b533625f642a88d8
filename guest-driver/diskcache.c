// SPDX-License-Identifier: GPL-2.0-only
/* A clean cache below the file system: the pages of a disk that the store holds. */
#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "batch.h"
#include "compat/page_cache.h"
#include "counters.h"
#include "diskcache.h"
#include "driver.h"

/* 1 MiB at most: a bit for each block of 32 GiB. */
#define TMEM_PRESENT_BITS_MAX BIT(23)

/* The index of a page has 32 bits; what a disk has beyond is other objects. */
static struct tmem_area tmem_diskcache_area(const struct tmem_diskcache *cache,
					    u64 block)
{
	return (struct tmem_area) {
		.pool = cache->pool,
		.object = { upper_32_bits(block) },
	};
}

/* ---- what may be in the store ---- */

static u64 tmem_present_bits(const struct tmem_diskcache *cache)
{
	return ((cache->blocks - 1) >> cache->shift) + 1;
}

static bool tmem_present(const struct tmem_diskcache *cache, u64 block)
{
	return test_bit(block >> cache->shift, cache->present);
}

static bool tmem_present_any(const struct tmem_diskcache *cache, u64 first,
			     u64 count)
{
	u64 end = ((first + count - 1) >> cache->shift) + 1;

	return find_next_bit(cache->present, end,
			     first >> cache->shift) < end;
}

/* How many blocks may be in the store. */
static u64 tmem_present_blocks(const struct tmem_diskcache *cache)
{
	return (u64)atomic_long_read(&cache->held) << cache->shift;
}

/* Nothing of the range is in the store. Where bits are shared, others may be. */
static void tmem_present_clear(struct tmem_diskcache *cache, u64 first,
			       u64 count)
{
	u64 bit = ((first - 1) >> cache->shift) + 1;
	u64 end = (first + count) >> cache->shift;

	if (!first)
		bit = 0;
	for (; bit < end; bit++)
		if (test_and_clear_bit(bit, cache->present))
			atomic_long_dec(&cache->held);
}

/* ---- opening and closing ---- */

static unsigned long *tmem_bits_alloc(const struct tmem_diskcache *cache)
{
	return kvcalloc(BITS_TO_LONGS(tmem_present_bits(cache)), sizeof(long),
			GFP_KERNEL);
}

static void tmem_diskcache_free(struct tmem_diskcache *cache)
{
	if (cache->probe)
		__free_page(cache->probe);
	kvfree(cache->used);
	kvfree(cache->present);
	tmem_filter_exit(&cache->filter);
	kvfree(cache);
}

static int tmem_diskcache_init(struct tmem_diskcache *cache, u64 blocks)
{
	int err;

	cache->blocks = blocks;
	while (tmem_present_bits(cache) > TMEM_PRESENT_BITS_MAX)
		cache->shift++;
	cache->present = tmem_bits_alloc(cache);
	cache->used = tmem_bits_alloc(cache);
	cache->probe = alloc_page(GFP_KERNEL);
	if (!cache->present || !cache->used || !cache->probe)
		return -ENOMEM;
	err = tmem_filter_init(&cache->filter, blocks);
	if (err)
		return err;
	tmem_guard_init(&cache->guard);
	/* Never asked: not known to be empty. */
	cache->empty_at = -1;
	err = tmem_pool_new(0);
	if (err < 0)
		return err;
	cache->pool = err;
	return 0;
}

struct tmem_diskcache *tmem_diskcache_open(u64 blocks)
{
	struct tmem_diskcache *cache;
	int err;

	if (!tmem_driver_started())
		return ERR_PTR(-ENODEV);
	cache = kvzalloc(sizeof(*cache), GFP_KERNEL);
	if (!cache)
		return ERR_PTR(-ENOMEM);
	err = tmem_diskcache_init(cache, blocks);
	if (!err)
		return cache;
	tmem_diskcache_free(cache);
	return ERR_PTR(err);
}

void tmem_diskcache_close(struct tmem_diskcache *cache)
{
	tmem_pool_destroy(cache->pool);
	tmem_diskcache_free(cache);
}

/* ---- calls ---- */

/* The pool is empty, and was when @puts were accepted: later ones make them differ. */
static void tmem_diskcache_empty(struct tmem_diskcache *cache, long puts)
{
	WRITE_ONCE(cache->empty_at, puts);
	tmem_filter_open(&cache->filter);
}

/*
 * Puts or gets those of a read's pages that have a bit in @pages, one bio's in
 * one call. Returns the bits of those that went well.
 */
static u64 tmem_diskcache_call(struct tmem_diskcache *cache, u16 call,
			       struct bio *bio,
			       const struct tmem_diskread *read, u64 pages)
{
	struct tmem_area area = tmem_diskcache_area(cache, read->block);
	long puts = atomic_long_read(&cache->puts);
	struct bvec_iter iter = read->iter;
	struct tmem_batch batch;
	u64 went_well = 0;
	u32 i = 0;

	while (i < read->pages) {
		u64 called = 0;
		u32 entry;

		tmem_batch_begin(&batch, call, 0, &area);
		for (; i < read->pages && !tmem_batch_full(&batch); i++) {
			if (pages & BIT_ULL(i)) {
				tmem_batch_add(&batch,
					       lower_32_bits(read->block + i),
					       page_to_pfn(bio_iter_page(bio, iter)));
				called |= BIT_ULL(i);
			}
			bio_advance_iter(bio, &iter, PAGE_SIZE);
		}
		tmem_batch_issue(&batch);
		for (entry = 0; called; entry++) {
			s32 status = tmem_batch_status(&batch, entry);

			if (status == TMEM_STATUS_OK)
				went_well |= called & -called;
			if (call == TMEM_CALL_PUT)
				tmem_backoff_note(&cache->backoff, status);
			else if (status == TMEM_STATUS_EMPTY)
				tmem_diskcache_empty(cache, puts);
			called &= called - 1;
		}
		tmem_batch_end(&batch);
	}
	return went_well;
}

/* Asks for a page only to see whether it is there. */
static s32 tmem_diskcache_ask(struct tmem_diskcache *cache, u64 block)
{
	struct tmem_area area = tmem_diskcache_area(cache, block);
	s32 status = tmem_batch_one(TMEM_CALL_GET, 0, &area,
				    lower_32_bits(block),
				    page_to_pfn(cache->probe));

	tmem_count(status == TMEM_STATUS_OK ? TMEM_DISKCACHE_PROBES_HIT :
					      TMEM_DISKCACHE_PROBES_MISS);
	return status;
}

static bool tmem_diskcache_used(const struct tmem_diskcache *cache, u64 block)
{
	return test_bit(block >> cache->shift, cache->used);
}

/*
 * The oldest sample was of a page that is gone: forgets those of all pages that
 * are. The store lets go of the oldest first, so half of what is left need not
 * be asked for, each time.
 */
static void tmem_diskcache_forget_gone(struct tmem_diskcache *cache)
{
	u32 gone = 0;
	u32 end = TMEM_FILTER_SAMPLES;

	while (gone < end) {
		u32 middle = gone + (end - gone) / 2;
		u64 block;

		if (!tmem_filter_peek(&cache->filter, middle, &block) ||
		    (tmem_present(cache, block) &&
		     (tmem_diskcache_used(cache, block) ||
		      tmem_diskcache_ask(cache, block) == TMEM_STATUS_OK)))
			end = middle;
		else
			gone = middle + 1;
	}
	tmem_filter_forget(&cache->filter, gone);
}

/* Looks whether pages make way in the store, when it is time. */
static void tmem_diskcache_probe(struct tmem_diskcache *cache)
{
	long puts = atomic_long_read(&cache->puts);
	s32 status;
	u64 block;

	if (!tmem_filter_probe_due(&cache->filter))
		return;
	do {
		if (!tmem_filter_sample(&cache->filter, &block)) {
			tmem_filter_probed(&cache->filter, true);
			return;
		}
	} while (!tmem_present(cache, block) ||
		 tmem_diskcache_used(cache, block));
	status = tmem_diskcache_ask(cache, block);
	if (status == TMEM_STATUS_EMPTY) {
		tmem_diskcache_empty(cache, puts);
		return;
	}
	tmem_filter_probed(&cache->filter, status == TMEM_STATUS_OK);
	if (status != TMEM_STATUS_OK)
		tmem_diskcache_forget_gone(cache);
}

/* Returns the pages that are there now. */
static u64 tmem_diskcache_get(struct tmem_diskcache *cache, struct bio *bio,
			      const struct tmem_diskread *read)
{
	u64 asked = 0;
	u64 hits;
	u32 i;

	if (READ_ONCE(cache->empty_at) != atomic_long_read(&cache->puts))
		for (i = 0; i < read->pages; i++)
			if (tmem_present(cache, read->block + i))
				asked |= BIT_ULL(i);
	tmem_count_many(TMEM_DISKCACHE_GETS_SPARED,
			read->pages - hweight64(asked));
	if (!asked)
		return 0;
	hits = tmem_diskcache_call(cache, TMEM_CALL_GET, bio, read, asked);
	tmem_count_many(TMEM_DISKCACHE_HITS, hweight64(hits));
	tmem_count_many(TMEM_DISKCACHE_MISSES, hweight64(asked & ~hits));
	for (i = 0; i < read->pages; i++)
		if (hits & BIT_ULL(i))
			set_bit((read->block + i) >> cache->shift, cache->used);
	return hits;
}

/* ---- reads ---- */

bool tmem_diskcache_may_read(const struct tmem_diskcache *cache,
			     struct bio *bio, u64 sector)
{
	return !READ_ONCE(cache->distrusted) &&
	       sector % TMEM_SECTORS_PER_BLOCK == 0 &&
	       tmem_page_is_being_read(bio_page(bio));
}

/*
 * Describes a read, if the cache may have to do with it: whole pages, all of
 * them pages of files that are being read, and of one object of the store.
 */
static bool tmem_diskread_init(struct tmem_diskread *read, struct bio *bio,
			       u64 sector)
{
	struct bvec_iter iter;
	struct bio_vec bvec;

	*read = (struct tmem_diskread) {
		.iter = bio->bi_iter,
		.block = sector / TMEM_SECTORS_PER_BLOCK,
	};
	bio_for_each_segment(bvec, bio, iter) {
		if (bvec.bv_offset || bvec.bv_len != PAGE_SIZE ||
		    !tmem_page_is_being_read(bvec.bv_page))
			return false;
		read->pages++;
	}
	return read->pages && read->pages <= TMEM_DISKREAD_MAX &&
	       upper_32_bits(read->block) ==
	       upper_32_bits(read->block + read->pages - 1);
}

/*
 * The disk reads from the first page that is missing to the last, in one
 * request. What lies between and was there already is read once more.
 */
static void tmem_diskread_cut(const struct tmem_diskread *read,
			      struct bio *bio, u64 missing)
{
	u32 first = __ffs64(missing);
	u32 count = fls64(missing) - first;

	tmem_count_many(TMEM_DISKCACHE_REREADS, count - hweight64(missing));
	bio_trim(bio, first * TMEM_SECTORS_PER_BLOCK,
		 count * TMEM_SECTORS_PER_BLOCK);
}

enum tmem_diskcache_answer tmem_diskcache_read(struct tmem_diskcache *cache,
					       struct bio *bio, u64 sector,
					       struct tmem_diskread *read)
{
	u64 missing;

	if (!tmem_diskcache_may_read(cache, bio, sector) ||
	    !tmem_diskread_init(read, bio, sector)) {
		tmem_count_many(TMEM_DISKCACHE_SECTORS_BYPASSED,
				bio_sectors(bio));
		return TMEM_DISKCACHE_BYPASS;
	}
	tmem_diskcache_probe(cache);
	/* Before the disk is read: a write from now on makes it invalid. */
	tmem_guard_begin_read(&cache->guard, &read->ticket, read->block,
			      read->pages);
	missing = GENMASK_ULL(read->pages - 1, 0) &
		  ~tmem_diskcache_get(cache, bio, read);
	if (!missing)
		return TMEM_DISKCACHE_SERVED;
	read->put = tmem_filter_admit(&cache->filter, read->block, missing);
	tmem_diskread_cut(read, bio, missing);
	return TMEM_DISKCACHE_READ;
}

/* The page is there, and was not used since. */
static void tmem_diskcache_stored(struct tmem_diskcache *cache, u64 block)
{
	u64 bit = block >> cache->shift;

	if (!test_and_set_bit(bit, cache->present))
		atomic_long_inc(&cache->held);
	clear_bit(bit, cache->used);
}

void tmem_diskcache_end_read(struct tmem_diskcache *cache, struct bio *bio,
			     const struct tmem_diskread *read)
{
	unsigned long flags;
	u64 stored;
	u32 i;

	if (!read->put)
		return;
	if (tmem_backoff_active(&cache->backoff)) {
		tmem_count_many(TMEM_DISKCACHE_PUTS_SPARED,
				hweight64(read->put));
		return;
	}
	if (!tmem_guard_hold(&cache->guard, &read->ticket, &flags)) {
		tmem_count_many(TMEM_DISKCACHE_STALE_PUTS_DROPPED,
				hweight64(read->put));
		return;
	}
	tmem_count_many(TMEM_DISKCACHE_PUTS, hweight64(read->put));
	stored = tmem_diskcache_call(cache, TMEM_CALL_PUT, bio, read,
				     read->put);
	atomic_long_add(hweight64(stored), &cache->puts);
	for (i = 0; i < read->pages; i++)
		if (stored & BIT_ULL(i))
			tmem_diskcache_stored(cache, read->block + i);
	tmem_guard_release(&cache->guard, &read->ticket, flags);
	if (stored)
		tmem_filter_stored(&cache->filter,
				   read->block + __ffs64(stored),
				   hweight64(stored), tmem_present_blocks(cache));
}

/* ---- writes ---- */

/* A flush fails only where the host breaks its promise. */
static void tmem_diskcache_distrust(struct tmem_diskcache *cache, s32 status)
{
	if (READ_ONCE(cache->distrusted))
		return;
	WRITE_ONCE(cache->distrusted, true);
	pr_err("pool %u cannot be flushed (status %d) and is not used any more\n",
	       cache->pool, status);
}

static void tmem_diskcache_flush(struct tmem_diskcache *cache, u64 first,
				 u64 count)
{
	while (count) {
		struct tmem_area area = tmem_diskcache_area(cache, first);
		u64 part = min(count, BIT_ULL(32) - lower_32_bits(first));
		s32 status = tmem_batch_one(TMEM_CALL_FLUSH_RANGE, 0, &area,
					    lower_32_bits(first), part);

		if (status != TMEM_STATUS_OK)
			tmem_diskcache_distrust(cache, status);
		first += part;
		count -= part;
	}
}

void tmem_diskcache_begin_write(struct tmem_diskcache *cache, u64 first,
				u64 count)
{
	tmem_guard_begin_write(&cache->guard, first, count);
	if (!tmem_present_any(cache, first, count)) {
		tmem_count(TMEM_DISKCACHE_FLUSHES_SPARED);
		return;
	}
	tmem_count(TMEM_DISKCACHE_FLUSHES);
	tmem_diskcache_flush(cache, first, count);
	tmem_present_clear(cache, first, count);
}

void tmem_diskcache_end_write(struct tmem_diskcache *cache, u64 first,
			      u64 count)
{
	tmem_guard_end_write(&cache->guard, first, count);
}

void tmem_diskcache_drop_all(struct tmem_diskcache *cache)
{
	u64 block;

	for (block = 0; block < cache->blocks; block += BIT_ULL(32)) {
		struct tmem_area area = tmem_diskcache_area(cache, block);
		s32 status = tmem_flush_object(&area);

		if (status != TMEM_STATUS_OK)
			tmem_diskcache_distrust(cache, status);
	}
	bitmap_zero(cache->present, tmem_present_bits(cache));
	atomic_long_set(&cache->held, 0);
	tmem_filter_open(&cache->filter);
}
