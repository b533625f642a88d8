// SPDX-License-Identifier: GPL-2.0-only
/* The scan filter: what is read once does not push out what is read again. */
#include <linux/bitops.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>

#include "counters.h"
#include "diskcache_filter.h"

static bool tmem_scan_filter = true;
module_param_named(scan_filter, tmem_scan_filter, bool, 0644);
MODULE_PARM_DESC(scan_filter,
		 "Put pages only when they are read again, once the host has no more room (default on)");

/* Pages put for a sample, at least. */
#define TMEM_FILTER_STRIDE 8
/* Samples of as many pages as the store holds, at most: a quarter of the places. */
#define TMEM_FILTER_SHARE_SHIFT 10
/* Samples for a probe. */
#define TMEM_FILTER_PROBE 32
/* Refused pages, after which the filter looks for room: 64 MiB. */
#define TMEM_FILTER_REFUSED 16384

/* A place for every fourth block, a byte each: 1 MiB at most. */
#define TMEM_SEEN_BITS_MAX 20

int tmem_filter_init(struct tmem_filter *filter, u64 blocks)
{
	raw_spin_lock_init(&filter->lock);
	filter->seen_bits = clamp(ilog2(blocks | 1) - 2, 10, TMEM_SEEN_BITS_MAX);
	filter->seen = kvzalloc(BIT(filter->seen_bits), GFP_KERNEL);
	return filter->seen ? 0 : -ENOMEM;
}

void tmem_filter_exit(struct tmem_filter *filter)
{
	kvfree(filter->seen);
}

/* Remembers the block, or forgets it where it was remembered, and says which. */
static bool tmem_filter_seen(struct tmem_filter *filter, u64 block)
{
	/* All of it: hash_64() has 32 bits at most. */
	u64 hash = block * GOLDEN_RATIO_64;
	u8 *seen = &filter->seen[hash >> (64 - filter->seen_bits)];
	/* Zero is an empty place. */
	u8 tag = (hash >> 32 & U8_MAX) | 1;

	if (READ_ONCE(*seen) == tag) {
		WRITE_ONCE(*seen, 0);
		return true;
	}
	WRITE_ONCE(*seen, tag);
	return false;
}

u64 tmem_filter_admit(struct tmem_filter *filter, u64 first, u64 pages)
{
	u64 admitted = 0;
	u32 refused;

	if (!READ_ONCE(filter->closed) || !READ_ONCE(tmem_scan_filter))
		return pages;
	refused = hweight64(pages);
	while (pages) {
		u64 page = pages & -pages;

		if (tmem_filter_seen(filter, first + __ffs64(page)))
			admitted |= page;
		pages &= ~page;
	}
	refused -= hweight64(admitted);
	WRITE_ONCE(filter->refused, READ_ONCE(filter->refused) + refused);
	tmem_count_many(TMEM_DISKCACHE_PUTS_FILTERED, refused);
	return admitted;
}

static u64 *tmem_filter_place(struct tmem_filter *filter, u32 i)
{
	return &filter->samples[(filter->first + i) % TMEM_FILTER_SAMPLES];
}

/* Drops the oldest samples. */
static void tmem_filter_drop(struct tmem_filter *filter, u32 count)
{
	filter->first = (filter->first + count) % TMEM_FILTER_SAMPLES;
	filter->count -= count;
}

void tmem_filter_stored(struct tmem_filter *filter, u64 block, u32 pages,
			u64 held)
{
	u32 stride = clamp_t(u64, held >> TMEM_FILTER_SHARE_SHIFT,
			     TMEM_FILTER_STRIDE, U32_MAX / 2);
	unsigned long flags;

	raw_spin_lock_irqsave(&filter->lock, flags);
	/* The stride may have become a small part of what it was. */
	filter->unsampled = min(filter->unsampled, stride) + pages;
	while (filter->unsampled >= stride) {
		filter->unsampled -= stride;
		if (filter->count == TMEM_FILTER_SAMPLES)
			tmem_filter_drop(filter, 1);
		*tmem_filter_place(filter, filter->count++) =
			block + pages - 1 - min(filter->unsampled, pages - 1);
		WRITE_ONCE(filter->unprobed, filter->unprobed + 1);
	}
	raw_spin_unlock_irqrestore(&filter->lock, flags);
}

bool tmem_filter_probe_due(const struct tmem_filter *filter)
{
	if (!READ_ONCE(tmem_scan_filter))
		return false;
	return READ_ONCE(filter->closed) ?
	       READ_ONCE(filter->refused) >= TMEM_FILTER_REFUSED :
	       READ_ONCE(filter->unprobed) >= TMEM_FILTER_PROBE;
}

bool tmem_filter_sample(struct tmem_filter *filter, u64 *block)
{
	unsigned long flags;
	bool there;

	raw_spin_lock_irqsave(&filter->lock, flags);
	there = filter->count;
	if (there) {
		*block = *tmem_filter_place(filter, 0);
		tmem_filter_drop(filter, 1);
	}
	raw_spin_unlock_irqrestore(&filter->lock, flags);
	return there;
}

bool tmem_filter_peek(struct tmem_filter *filter, u32 i, u64 *block)
{
	unsigned long flags;
	bool there;

	raw_spin_lock_irqsave(&filter->lock, flags);
	there = i < filter->count;
	if (there)
		*block = *tmem_filter_place(filter, i);
	raw_spin_unlock_irqrestore(&filter->lock, flags);
	return there;
}

void tmem_filter_forget(struct tmem_filter *filter, u32 count)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&filter->lock, flags);
	tmem_filter_drop(filter, min(count, filter->count));
	raw_spin_unlock_irqrestore(&filter->lock, flags);
}

void tmem_filter_probed(struct tmem_filter *filter, bool there)
{
	WRITE_ONCE(filter->unprobed, 0);
	WRITE_ONCE(filter->refused, 0);
	WRITE_ONCE(filter->closed, !there);
}

void tmem_filter_open(struct tmem_filter *filter)
{
	tmem_filter_forget(filter, TMEM_FILTER_SAMPLES);
	tmem_filter_probed(filter, true);
}
