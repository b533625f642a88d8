/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What keeps a racing read from putting stale data over a write.
 *
 *	reader				writer
 *	ticket = begin_read		begin_write: count++, writers++
 *	read of the disk		flush of the range
 *	...				write of the disk
 *	hold(ticket): is it so still?	end_write: count++, writers--
 *	put
 *	release
 *
 * The disk is cut into regions, which are hashed to buckets. A page may be put
 * only if no write of its bucket was under way at any time from before its read
 * was sent to the disk until after the put: then the count is the reader's
 * ticket, since each write counts at both ends, and there are no writers. The
 * put is made under the bucket's lock, so a write that begins meanwhile waits,
 * and its flush comes after the put.
 *
 * While a write is under way nothing can be put under it, so one flush, before
 * the disk is written, is enough: there is nothing to flush after it.
 *
 * A bucket's lock is taken with interrupts off. A put holds one or two, in
 * ascending order; a write, of however many regions, one at a time.
 */
#ifndef TMEM_DISKCACHE_GUARD_H
#define TMEM_DISKCACHE_GUARD_H

#include <linux/bits.h>
#include <linux/spinlock.h>
#include <linux/types.h>

/* A read has as many blocks at most, so it is of two regions at most. */
#define TMEM_REGION_SHIFT 6
#define TMEM_REGION_BLOCKS BIT(TMEM_REGION_SHIFT)

#define TMEM_GUARD_BITS 10

/**
 * struct tmem_guard_bucket - the writes of the regions of one hash value
 * @lock: guards the bucket, and puts of its regions
 * @count: beginnings and ends of writes
 * @writers: writes under way
 */
struct tmem_guard_bucket {
	raw_spinlock_t lock;
	u32 count;
	u32 writers;
};

/**
 * struct tmem_guard - the writes of a disk
 * @buckets: by hash of the region
 */
struct tmem_guard {
	struct tmem_guard_bucket buckets[1 << TMEM_GUARD_BITS];
};

/**
 * struct tmem_guard_ticket - a read's
 * @first: first block
 * @last: last block, in the same region or the next
 * @counts: of the buckets of the two, when the read began
 */
struct tmem_guard_ticket {
	u64 first;
	u64 last;
	u32 counts[2];
};

void tmem_guard_init(struct tmem_guard *guard);

/* A read of blocks is about to go to the disk. */
void tmem_guard_begin_read(struct tmem_guard *guard,
			   struct tmem_guard_ticket *ticket, u64 first,
			   u32 count);

/*
 * Keeps writes of the read's blocks waiting, if nothing was written there since
 * it began. Turns interrupts off.
 */
bool tmem_guard_hold(struct tmem_guard *guard,
		     const struct tmem_guard_ticket *ticket,
		     unsigned long *irq_flags);
void tmem_guard_release(struct tmem_guard *guard,
			const struct tmem_guard_ticket *ticket,
			unsigned long irq_flags);

/* A write of these blocks is about to be sent. When it returns no put is under way. */
void tmem_guard_begin_write(struct tmem_guard *guard, u64 first, u64 count);

/* The write has ended, well or not. The same blocks. */
void tmem_guard_end_write(struct tmem_guard *guard, u64 first, u64 count);

#endif
