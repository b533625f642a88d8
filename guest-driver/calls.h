/* SPDX-License-Identifier: GPL-2.0-only */
/* The calls of the ABI that this driver makes, as functions with types. */
#ifndef TMEM_CALLS_H
#define TMEM_CALLS_H

#include <linux/types.h>
#include <tmem_abi.h>

/**
 * struct tmem_area - where the pages of one swap area or file live in the store
 * @pool: pool id
 * @object: object id inside the pool; the index is the swap slot, or that of
 *	the page in its file
 */
struct tmem_area {
	u32 pool;
	u64 object[3];
};

/*
 * Begins a new life: every pool of an earlier driver of this guest is gone
 * afterwards. @features are those wanted beside what the driver cannot do
 * without. @batch_max receives the largest batch that the host takes.
 * Returns 0, -EPROTO (the host speaks another version) or -ENODEV (it lacks
 * a feature).
 */
int tmem_hello(u64 features, u32 *batch_max);

/*
 * Makes a private pool: its id, or a negative errno. @flags: TMEM_POOL_PERSISTENT,
 * or 0 for an ephemeral one.
 */
int tmem_pool_new(u64 flags);

/* Drops a pool and all it holds. */
void tmem_pool_destroy(u32 pool);

s32 tmem_put(const struct tmem_area *area, u32 index, u64 frame);
s32 tmem_get(const struct tmem_area *area, u32 index, u64 frame, u16 flags);
s32 tmem_flush_range(const struct tmem_area *area, u32 first, u64 count);
s32 tmem_flush_object(const struct tmem_area *area);

/* @done receives how many of the @count entries at @entries were executed. */
s32 tmem_batch_call(struct tmem_batch_entry *entries, u32 count, u32 *done);

#endif
