// SPDX-License-Identifier: GPL-2.0-only
/* What keeps a racing read from putting stale data over a write. */
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>

#include "diskcache_guard.h"

#ifdef TMEM_DEBUG
static bool tmem_naive_guard;
module_param_named(naive_guard, tmem_naive_guard, bool, 0644);
MODULE_PARM_DESC(naive_guard,
		 "STALE DATA: put what was read whatever was written meanwhile (debug builds)");
#else
static const bool tmem_naive_guard;
#endif

void tmem_guard_init(struct tmem_guard *guard)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(guard->buckets); i++)
		raw_spin_lock_init(&guard->buckets[i].lock);
}

static struct tmem_guard_bucket *tmem_guard_bucket(struct tmem_guard *guard,
						   u64 block)
{
	return &guard->buckets[hash_64(block >> TMEM_REGION_SHIFT,
				       TMEM_GUARD_BITS)];
}

void tmem_guard_begin_read(struct tmem_guard *guard,
			   struct tmem_guard_ticket *ticket, u64 first,
			   u32 count)
{
	u64 last = first + count - 1;

	*ticket = (struct tmem_guard_ticket) {
		.first = first,
		.last = last,
		.counts = {
			READ_ONCE(tmem_guard_bucket(guard, first)->count),
			READ_ONCE(tmem_guard_bucket(guard, last)->count),
		},
	};
}

static bool tmem_guard_unchanged(const struct tmem_guard_bucket *bucket,
				 u32 count)
{
	return !bucket->writers && bucket->count == count;
}

bool tmem_guard_hold(struct tmem_guard *guard,
		     const struct tmem_guard_ticket *ticket,
		     unsigned long *irq_flags)
{
	struct tmem_guard_bucket *first = tmem_guard_bucket(guard,
							    ticket->first);
	struct tmem_guard_bucket *last = tmem_guard_bucket(guard, ticket->last);

	raw_spin_lock_irqsave(&min(first, last)->lock, *irq_flags);
	if (first != last)
		raw_spin_lock_nested(&max(first, last)->lock,
				     SINGLE_DEPTH_NESTING);
	if ((tmem_guard_unchanged(first, ticket->counts[0]) &&
	     tmem_guard_unchanged(last, ticket->counts[1])) ||
	    READ_ONCE(tmem_naive_guard))
		return true;
	tmem_guard_release(guard, ticket, *irq_flags);
	return false;
}

void tmem_guard_release(struct tmem_guard *guard,
			const struct tmem_guard_ticket *ticket,
			unsigned long irq_flags)
{
	struct tmem_guard_bucket *first = tmem_guard_bucket(guard,
							    ticket->first);
	struct tmem_guard_bucket *last = tmem_guard_bucket(guard, ticket->last);

	if (first != last)
		raw_spin_unlock(&max(first, last)->lock);
	raw_spin_unlock_irqrestore(&min(first, last)->lock, irq_flags);
}

static void tmem_guard_change(struct tmem_guard_bucket *bucket, int writers)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&bucket->lock, flags);
	bucket->writers += writers;
	WRITE_ONCE(bucket->count, bucket->count + 1);
	raw_spin_unlock_irqrestore(&bucket->lock, flags);
}

/* A discard may be of more regions than there are buckets. */
static void tmem_guard_change_all(struct tmem_guard *guard, u64 first,
				  u64 count, int writers)
{
	u64 region = first >> TMEM_REGION_SHIFT;
	u64 last = (first + count - 1) >> TMEM_REGION_SHIFT;
	u32 i;

	if (last - region >= ARRAY_SIZE(guard->buckets)) {
		for (i = 0; i < ARRAY_SIZE(guard->buckets); i++)
			tmem_guard_change(&guard->buckets[i], writers);
		return;
	}
	for (; region <= last; region++)
		tmem_guard_change(tmem_guard_bucket(guard, region <<
						    TMEM_REGION_SHIFT),
				  writers);
}

void tmem_guard_begin_write(struct tmem_guard *guard, u64 first, u64 count)
{
	tmem_guard_change_all(guard, first, count, 1);
}

void tmem_guard_end_write(struct tmem_guard *guard, u64 first, u64 count)
{
	tmem_guard_change_all(guard, first, count, -1);
}
