// SPDX-License-Identifier: GPL-2.0-only
/* The free queue that loses data, for the test that must find it. */
#include <linux/moduleparam.h>
#include <linux/spinlock.h>

#include "batch.h"
#include "frees.h"
#include "naive_frees.h"

#define TMEM_NAIVE_QUEUE 512

static bool tmem_naive_frees;
module_param_named(naive_frees, tmem_naive_frees, bool, 0444);
MODULE_PARM_DESC(naive_frees,
		 "LOSES DATA: queue freed slots without looking at later puts (debug builds)");

static DEFINE_RAW_SPINLOCK(tmem_naive_lock);
static u32 tmem_naive_queue[TMEM_NAIVE_QUEUE];
static u32 tmem_naive_queued;

bool tmem_naive_frees_on(void)
{
	return tmem_naive_frees;
}

static void tmem_naive_send(const struct tmem_area *area)
{
	u32 next = 0;

	while (next < tmem_naive_queued) {
		struct tmem_batch batch;

		tmem_batch_begin(&batch, TMEM_CALL_FLUSH_RANGE, 0, area);
		while (next < tmem_naive_queued && !tmem_batch_full(&batch))
			tmem_batch_add(&batch, tmem_naive_queue[next++], 1);
		tmem_batch_issue(&batch);
		tmem_batch_end(&batch);
	}
	tmem_naive_queued = 0;
}

void tmem_naive_free(const struct tmem_area *area, u32 slot)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&tmem_naive_lock, flags);
	tmem_naive_queue[tmem_naive_queued++] = slot;
	if (tmem_naive_queued >= min_t(u32, tmem_free_batch, TMEM_NAIVE_QUEUE))
		tmem_naive_send(area);
	raw_spin_unlock_irqrestore(&tmem_naive_lock, flags);
}
