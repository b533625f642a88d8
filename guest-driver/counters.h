/* SPDX-License-Identifier: GPL-2.0-only */
/* What the driver did, counted per CPU, one file a counter in sysfs. */
#ifndef TMEM_COUNTERS_H
#define TMEM_COUNTERS_H

#include <linux/percpu.h>
#include <linux/types.h>

/* README.md says what each means; the file has the name in small letters. */
enum tmem_counter {
	TMEM_HYPERCALLS,
	TMEM_PUTS_ACCEPTED,
	TMEM_PUTS_REJECTED_NO_SPACE,
	TMEM_PUTS_REJECTED_OVER_LIMIT,
	TMEM_PUTS_REJECTED_FROZEN,
	TMEM_PUTS_REJECTED_POOR_RATIO,
	TMEM_PUTS_REJECTED_BUSY,
	TMEM_PUTS_REJECTED_OTHER,
	TMEM_PUTS_FAILED,
	TMEM_GETS_HIT,
	TMEM_GETS_MISS,
	TMEM_GETS_FAILED,
	TMEM_FLUSHES,
	TMEM_FLUSHES_FAILED,
	TMEM_OBJECT_FLUSHES,
	TMEM_POOL_DESTROYS,
	TMEM_PUT_CALLS,
	TMEM_PUT_BATCHES,
	TMEM_PUT_BATCH_ENTRIES,
	TMEM_GET_CALLS,
	TMEM_GET_BATCHES,
	TMEM_GET_BATCH_ENTRIES,
	TMEM_FLUSH_CALLS,
	TMEM_FLUSH_BATCHES,
	TMEM_FLUSH_BATCH_ENTRIES,
	TMEM_BATCHES_CUT_SHORT,
	TMEM_FREES_MARKED,
	TMEM_FREES_CANCELLED,
	TMEM_EMPTY_READS,
	TMEM_RETRIES_SPARED,
	TMEM_PUTS_BACKED_OFF,
	TMEM_BIOS_REFUSED,
	TMEM_BIOS_COLLECTED,
	TMEM_BIOS_SPLIT,
	TMEM_BACKING_READS,
	TMEM_BACKING_WRITES,
	TMEM_BACKING_ERRORS,
	TMEM_FRONTSWAP_DECLINED,
	TMEM_CLEANCACHE_PUTS,
	TMEM_CLEANCACHE_DECLINED,
	TMEM_CLEANCACHE_HITS,
	TMEM_CLEANCACHE_MISSES,
	TMEM_CLEANCACHE_GETS_SPARED,
	TMEM_CLEANCACHE_FLUSHES,
	TMEM_COUNTERS_NR
};

struct tmem_counters {
	u64 n[TMEM_COUNTERS_NR];
};

DECLARE_PER_CPU(struct tmem_counters, tmem_counters);

static inline void tmem_count_many(enum tmem_counter counter, u64 n)
{
	this_cpu_add(tmem_counters.n[counter], n);
}

static inline void tmem_count(enum tmem_counter counter)
{
	tmem_count_many(counter, 1);
}

/* Counts one PUT, GET or FLUSH_RANGE, batched or not, by how it ended. */
void tmem_count_status(u32 nr, s32 status);

/* Makes and removes /sys/kernel/tmem. */
int tmem_counters_register(void);
void tmem_counters_unregister(void);

#endif
