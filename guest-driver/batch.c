// SPDX-License-Identifier: GPL-2.0-only
/* Collecting puts, gets or flushes into one call. */
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/percpu.h>
#include <linux/printk.h>

#include "batch.h"
#include "counters.h"

/*
 * The array of a BATCH call must be one physical range. Per-CPU memory is not,
 * so each CPU has a pointer to a page.
 */
static DEFINE_PER_CPU(struct tmem_batch_entry *, tmem_batch_page);
static u32 tmem_batch_capacity __read_mostly;

static_assert(sizeof(struct tmem_batch_entry) == TMEM_BATCH_ENTRY_SIZE);
static_assert(TMEM_BATCH_MAX * TMEM_BATCH_ENTRY_SIZE <= PAGE_SIZE);

void tmem_batch_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		free_page((unsigned long)per_cpu(tmem_batch_page, cpu));
		per_cpu(tmem_batch_page, cpu) = NULL;
	}
}

int tmem_batch_init(u32 capacity)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		unsigned long page = get_zeroed_page(GFP_KERNEL);

		if (!page) {
			tmem_batch_exit();
			return -ENOMEM;
		}
		per_cpu(tmem_batch_page, cpu) = (void *)page;
	}
	tmem_batch_capacity = capacity;
	return 0;
}

void tmem_batch_begin(struct tmem_batch *batch, u16 call, u16 flags,
		      const struct tmem_area *area)
{
	local_irq_save(batch->irq_flags);
	batch->entries = this_cpu_read(tmem_batch_page);
	batch->area = area;
	batch->call = call;
	batch->flags = flags;
	batch->count = 0;
}
EXPORT_SYMBOL_GPL(tmem_batch_begin);

bool tmem_batch_full(const struct tmem_batch *batch)
{
	return batch->count == tmem_batch_capacity;
}
EXPORT_SYMBOL_GPL(tmem_batch_full);

void tmem_batch_add(struct tmem_batch *batch, u32 index, u64 frame)
{
	const struct tmem_area *area = batch->area;

	batch->entries[batch->count++] = (struct tmem_batch_entry) {
		.call = batch->call,
		.flags = batch->flags,
		.status = TMEM_STATUS_BAD_CALL,
		.pool = area->pool,
		.index = index,
		.object = { area->object[0], area->object[1], area->object[2] },
		.frame = frame,
	};
}
EXPORT_SYMBOL_GPL(tmem_batch_add);

/* The counters of how calls of one kind were made. */
static const struct tmem_call_counters {
	enum tmem_counter calls;
	enum tmem_counter batches;
	enum tmem_counter entries;
} tmem_call_counters[] = {
	[TMEM_CALL_PUT - TMEM_CALL_PUT] = {
		TMEM_PUT_CALLS, TMEM_PUT_BATCHES, TMEM_PUT_BATCH_ENTRIES
	},
	[TMEM_CALL_GET - TMEM_CALL_PUT] = {
		TMEM_GET_CALLS, TMEM_GET_BATCHES, TMEM_GET_BATCH_ENTRIES
	},
	[TMEM_CALL_FLUSH_RANGE - TMEM_CALL_PUT] = {
		TMEM_FLUSH_CALLS, TMEM_FLUSH_BATCHES, TMEM_FLUSH_BATCH_ENTRIES
	},
};

static s32 tmem_batch_issue_plain(const struct tmem_batch *batch)
{
	const struct tmem_batch_entry *entry = batch->entries;

	switch (batch->call) {
	case TMEM_CALL_PUT:
		return tmem_put(batch->area, entry->index, entry->frame);
	case TMEM_CALL_GET:
		return tmem_get(batch->area, entry->index, entry->frame,
				batch->flags);
	default:
		return tmem_flush_range(batch->area, entry->index,
					entry->frame);
	}
}

/* The host may stop early so that no call takes long; go on from there. */
static void tmem_batch_issue_array(const struct tmem_batch *batch,
				   const struct tmem_call_counters *counters)
{
	u32 next = 0;

	tmem_count(counters->batches);
	tmem_count_many(counters->entries, batch->count);
	while (next < batch->count) {
		u32 done;
		s32 status = tmem_batch_call(batch->entries + next,
					     batch->count - next, &done);

		tmem_count(counters->calls);
		if (!done) {
			/* Entries not run keep the error they were made with. */
			pr_err_ratelimited("batch of %u failed: status %d\n",
					   batch->count - next, status);
			return;
		}
		next += done;
		if (next < batch->count)
			tmem_count(TMEM_BATCHES_CUT_SHORT);
	}
}

void tmem_batch_issue(struct tmem_batch *batch)
{
	const struct tmem_call_counters *counters =
		&tmem_call_counters[batch->call - TMEM_CALL_PUT];
	u32 i;

	if (!batch->count)
		return;
	if (batch->count == 1) {
		tmem_count(counters->calls);
		batch->entries->status = tmem_batch_issue_plain(batch);
	} else {
		tmem_batch_issue_array(batch, counters);
	}
	for (i = 0; i < batch->count; i++)
		tmem_count_status(batch->call, batch->entries[i].status);
}
EXPORT_SYMBOL_GPL(tmem_batch_issue);

void tmem_batch_end(struct tmem_batch *batch)
{
	local_irq_restore(batch->irq_flags);
}
EXPORT_SYMBOL_GPL(tmem_batch_end);

s32 tmem_batch_one(u16 call, u16 flags, const struct tmem_area *area, u32 index,
		   u64 frame)
{
	struct tmem_batch batch;
	s32 status;

	tmem_batch_begin(&batch, call, flags, area);
	tmem_batch_add(&batch, index, frame);
	tmem_batch_issue(&batch);
	status = tmem_batch_status(&batch, 0);
	tmem_batch_end(&batch);
	return status;
}
EXPORT_SYMBOL_GPL(tmem_batch_one);
