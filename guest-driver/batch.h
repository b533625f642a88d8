/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Collecting puts, gets or flushes into one call.
 *
 *	tmem_batch_begin(&batch, TMEM_CALL_PUT, 0, area);
 *	while (more && !tmem_batch_full(&batch))
 *		tmem_batch_add(&batch, index, frame);
 *	tmem_batch_issue(&batch);
 *	... tmem_batch_status(&batch, i) ...
 *	tmem_batch_end(&batch);
 *
 * The entries are in a page of the CPU's own and interrupts are off from begin
 * to end, since frees arrive in interrupts too: what is between must be short,
 * must not sleep and must not end a bio, whose owner may start another batch.
 */
#ifndef TMEM_BATCH_H
#define TMEM_BATCH_H

#include <linux/types.h>

#include "calls.h"

/**
 * struct tmem_batch - a batch being collected on this CPU
 * @entries: the CPU's page of entries
 * @area: where the pages that are added next live
 * @call: TMEM_CALL_PUT, TMEM_CALL_GET or TMEM_CALL_FLUSH_RANGE
 * @flags: flags of each call
 * @count: entries collected
 * @irq_flags: interrupt state to go back to
 */
struct tmem_batch {
	struct tmem_batch_entry *entries;
	const struct tmem_area *area;
	u16 call;
	u16 flags;
	u32 count;
	unsigned long irq_flags;
};

/* @capacity: the largest batch that the host takes, at most TMEM_BATCH_MAX. */
int tmem_batch_init(u32 capacity);
void tmem_batch_exit(void);

void tmem_batch_begin(struct tmem_batch *batch, u16 call, u16 flags,
		      const struct tmem_area *area);

bool tmem_batch_full(const struct tmem_batch *batch);

/* @frame: frame of the page; for a FLUSH_RANGE the count of indexes. */
void tmem_batch_add(struct tmem_batch *batch, u32 index, u64 frame);

/* One entry goes as a plain call, more as one BATCH call. */
void tmem_batch_issue(struct tmem_batch *batch);

static inline s32 tmem_batch_status(const struct tmem_batch *batch, u32 i)
{
	return batch->entries[i].status;
}

void tmem_batch_end(struct tmem_batch *batch);

/* A batch of one entry from begin to end; returns its status. */
s32 tmem_batch_one(u16 call, u16 flags, const struct tmem_area *area, u32 index,
		   u64 frame);

#endif
