// SPDX-License-Identifier: GPL-2.0-only
/* What the driver did, counted per CPU, one file a counter in sysfs. */
#include <linux/build_bug.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/kobject.h>
#include <linux/sysfs.h>
#include <tmem_abi.h>

#include "counters.h"

DEFINE_PER_CPU(struct tmem_counters, tmem_counters);
EXPORT_PER_CPU_SYMBOL_GPL(tmem_counters);

static enum tmem_counter tmem_put_counter(s32 status)
{
	switch (status) {
	case TMEM_STATUS_OK:
		return TMEM_PUTS_ACCEPTED;
	case TMEM_STATUS_NO_SPACE:
		return TMEM_PUTS_REJECTED_NO_SPACE;
	case TMEM_STATUS_OVER_LIMIT:
		return TMEM_PUTS_REJECTED_OVER_LIMIT;
	case TMEM_STATUS_FROZEN:
		return TMEM_PUTS_REJECTED_FROZEN;
	case TMEM_STATUS_POOR_RATIO:
		return TMEM_PUTS_REJECTED_POOR_RATIO;
	case TMEM_STATUS_BUSY:
		return TMEM_PUTS_REJECTED_BUSY;
	default:
		return status > 0 ? TMEM_PUTS_REJECTED_OTHER : TMEM_PUTS_FAILED;
	}
}

static enum tmem_counter tmem_get_counter(s32 status)
{
	switch (status) {
	case TMEM_STATUS_OK:
		return TMEM_GETS_HIT;
	case TMEM_STATUS_MISS:
	case TMEM_STATUS_EMPTY:
		return TMEM_GETS_MISS;
	default:
		return TMEM_GETS_FAILED;
	}
}

void tmem_count_status(u32 nr, s32 status)
{
	switch (nr) {
	case TMEM_CALL_PUT:
		tmem_count(tmem_put_counter(status));
		break;
	case TMEM_CALL_GET:
		tmem_count(tmem_get_counter(status));
		break;
	case TMEM_CALL_FLUSH_RANGE:
		tmem_count(status == TMEM_STATUS_OK ? TMEM_FLUSHES :
						      TMEM_FLUSHES_FAILED);
		break;
	}
}

static const char * const tmem_counter_names[] = {
	[TMEM_HYPERCALLS] = "hypercalls",
	[TMEM_PUTS_ACCEPTED] = "puts_accepted",
	[TMEM_PUTS_REJECTED_NO_SPACE] = "puts_rejected_no_space",
	[TMEM_PUTS_REJECTED_OVER_LIMIT] = "puts_rejected_over_limit",
	[TMEM_PUTS_REJECTED_FROZEN] = "puts_rejected_frozen",
	[TMEM_PUTS_REJECTED_POOR_RATIO] = "puts_rejected_poor_ratio",
	[TMEM_PUTS_REJECTED_BUSY] = "puts_rejected_busy",
	[TMEM_PUTS_REJECTED_OTHER] = "puts_rejected_other",
	[TMEM_PUTS_FAILED] = "puts_failed",
	[TMEM_GETS_HIT] = "gets_hit",
	[TMEM_GETS_MISS] = "gets_miss",
	[TMEM_GETS_FAILED] = "gets_failed",
	[TMEM_FLUSHES] = "flushes",
	[TMEM_FLUSHES_FAILED] = "flushes_failed",
	[TMEM_OBJECT_FLUSHES] = "object_flushes",
	[TMEM_POOL_DESTROYS] = "pool_destroys",
	[TMEM_PUT_CALLS] = "put_calls",
	[TMEM_PUT_BATCHES] = "put_batches",
	[TMEM_PUT_BATCH_ENTRIES] = "put_batch_entries",
	[TMEM_GET_CALLS] = "get_calls",
	[TMEM_GET_BATCHES] = "get_batches",
	[TMEM_GET_BATCH_ENTRIES] = "get_batch_entries",
	[TMEM_FLUSH_CALLS] = "flush_calls",
	[TMEM_FLUSH_BATCHES] = "flush_batches",
	[TMEM_FLUSH_BATCH_ENTRIES] = "flush_batch_entries",
	[TMEM_BATCHES_CUT_SHORT] = "batches_cut_short",
	[TMEM_FREES_MARKED] = "frees_marked",
	[TMEM_FREES_CANCELLED] = "frees_cancelled",
	[TMEM_EMPTY_READS] = "empty_reads",
	[TMEM_RETRIES_SPARED] = "retries_spared",
	[TMEM_PUTS_BACKED_OFF] = "puts_backed_off",
	[TMEM_BIOS_REFUSED] = "bios_refused",
	[TMEM_BIOS_COLLECTED] = "bios_collected",
	[TMEM_BIOS_SPLIT] = "bios_split",
	[TMEM_BACKING_READS] = "backing_reads",
	[TMEM_BACKING_WRITES] = "backing_writes",
	[TMEM_BACKING_ERRORS] = "backing_errors",
	[TMEM_FRONTSWAP_DECLINED] = "frontswap_declined",
	[TMEM_CLEANCACHE_PUTS] = "cleancache_puts",
	[TMEM_CLEANCACHE_DECLINED] = "cleancache_declined",
	[TMEM_CLEANCACHE_HITS] = "cleancache_hits",
	[TMEM_CLEANCACHE_MISSES] = "cleancache_misses",
	[TMEM_CLEANCACHE_GETS_SPARED] = "cleancache_gets_spared",
	[TMEM_CLEANCACHE_FLUSHES] = "cleancache_flushes",
	[TMEM_DISKCACHE_HITS] = "diskcache_hits",
	[TMEM_DISKCACHE_MISSES] = "diskcache_misses",
	[TMEM_DISKCACHE_GETS_SPARED] = "diskcache_gets_spared",
	[TMEM_DISKCACHE_REREADS] = "diskcache_rereads",
	[TMEM_DISKCACHE_PROBES_HIT] = "diskcache_probes_hit",
	[TMEM_DISKCACHE_PROBES_MISS] = "diskcache_probes_miss",
	[TMEM_DISKCACHE_SECTORS_BYPASSED] = "diskcache_sectors_bypassed",
	[TMEM_DISKCACHE_PUTS] = "diskcache_puts",
	[TMEM_DISKCACHE_PUTS_SPARED] = "diskcache_puts_spared",
	[TMEM_DISKCACHE_PUTS_FILTERED] = "diskcache_puts_filtered",
	[TMEM_DISKCACHE_STALE_PUTS_DROPPED] = "diskcache_stale_puts_dropped",
	[TMEM_DISKCACHE_FLUSHES] = "diskcache_flushes",
	[TMEM_DISKCACHE_FLUSHES_SPARED] = "diskcache_flushes_spared",
};

static_assert(ARRAY_SIZE(tmem_counter_names) == TMEM_COUNTERS_NR);

/* One for each name, made when the module loads. */
static struct kobj_attribute tmem_counter_files[TMEM_COUNTERS_NR];
static struct attribute *tmem_counter_attrs[TMEM_COUNTERS_NR + 1];

static const struct attribute_group tmem_counter_group = {
	.attrs = tmem_counter_attrs,
};

static ssize_t tmem_counter_show(struct kobject *kobj,
				 struct kobj_attribute *file, char *buf)
{
	size_t counter = file - tmem_counter_files;
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu(tmem_counters, cpu).n[counter];
	return sysfs_emit(buf, "%llu\n", sum);
}

static void tmem_counter_files_init(void)
{
	u32 i;

	for (i = 0; i < TMEM_COUNTERS_NR; i++) {
		sysfs_attr_init(&tmem_counter_files[i].attr);
		tmem_counter_files[i].attr.name = tmem_counter_names[i];
		tmem_counter_files[i].attr.mode = 0444;
		tmem_counter_files[i].show = tmem_counter_show;
		tmem_counter_attrs[i] = &tmem_counter_files[i].attr;
	}
}

static struct kobject *tmem_kobj;

int tmem_counters_register(void)
{
	int err;

	tmem_counter_files_init();
	tmem_kobj = kobject_create_and_add("tmem", kernel_kobj);
	if (!tmem_kobj)
		return -ENOMEM;
	err = sysfs_create_group(tmem_kobj, &tmem_counter_group);
	if (err)
		kobject_put(tmem_kobj);
	return err;
}

void tmem_counters_unregister(void)
{
	kobject_put(tmem_kobj);
}
