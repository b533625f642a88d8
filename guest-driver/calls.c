// SPDX-License-Identifier: GPL-2.0-only
/* The calls of the ABI that this driver makes, as functions with types. */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/printk.h>

#include "calls.h"
#include "counters.h"
#include "transport.h"

#define TMEM_FEATURES_NEEDED (TMEM_FEATURE_PERSISTENT | TMEM_FEATURE_BATCH)

int tmem_hello(u64 features, u32 *batch_max)
{
	u64 needed = TMEM_FEATURES_NEEDED | features;
	struct tmem_regs regs = {
		.rdi = TMEM_ABI_VERSION,
		.rsi = needed,
	};
	s32 status = tmem_transport_call(TMEM_CALL_HELLO, &regs);

	if (status != TMEM_STATUS_OK || regs.rdi != TMEM_ABI_VERSION) {
		pr_err("the host does not speak ABI version %d (status %d)\n",
		       TMEM_ABI_VERSION, status);
		return -EPROTO;
	}
	if ((regs.rsi & needed) != needed || !regs.r8) {
		pr_err("the host offers features %#llx and batches of %llu: not enough\n",
		       regs.rsi, regs.r8);
		return -ENODEV;
	}
	*batch_max = min_t(u64, regs.r8, TMEM_BATCH_MAX);
	return 0;
}

int tmem_pool_new(u64 flags)
{
	struct tmem_regs regs = { .rdi = flags };
	s32 status = tmem_transport_call(TMEM_CALL_POOL_NEW, &regs);

	if (status != TMEM_STATUS_OK || !regs.rdi ||
	    regs.rdi > TMEM_POOL_ID_MAX) {
		pr_err("no pool: status %d\n", status);
		return -ENOSPC;
	}
	return regs.rdi;
}
EXPORT_SYMBOL_GPL(tmem_pool_new);

void tmem_pool_destroy(u32 pool)
{
	struct tmem_regs regs = { .rdi = pool };
	s32 status = tmem_transport_call(TMEM_CALL_POOL_DESTROY, &regs);

	tmem_count(TMEM_POOL_DESTROYS);
	if (status != TMEM_STATUS_OK)
		pr_warn("pool %u was not destroyed: status %d\n", pool, status);
}
EXPORT_SYMBOL_GPL(tmem_pool_destroy);

static struct tmem_regs tmem_key(const struct tmem_area *area, u32 index,
				 u64 rsi)
{
	return (struct tmem_regs) {
		.rdi = (u64)area->pool << 32 | index,
		.rsi = rsi,
		.r8 = area->object[0],
		.r9 = area->object[1],
		.r10 = area->object[2],
	};
}

s32 tmem_put(const struct tmem_area *area, u32 index, u64 frame)
{
	struct tmem_regs regs = tmem_key(area, index, frame);

	return tmem_transport_call(TMEM_CALL_PUT, &regs);
}

s32 tmem_get(const struct tmem_area *area, u32 index, u64 frame, u16 flags)
{
	struct tmem_regs regs = tmem_key(area, index, frame);

	regs.r11 = flags;
	return tmem_transport_call(TMEM_CALL_GET, &regs);
}

s32 tmem_flush_range(const struct tmem_area *area, u32 first, u64 count)
{
	struct tmem_regs regs = tmem_key(area, first, count);

	return tmem_transport_call(TMEM_CALL_FLUSH_RANGE, &regs);
}

s32 tmem_flush_object(const struct tmem_area *area)
{
	struct tmem_regs regs = tmem_key(area, 0, 0);

	regs.rdi = area->pool;
	tmem_count(TMEM_OBJECT_FLUSHES);
	return tmem_transport_call(TMEM_CALL_FLUSH_OBJECT, &regs);
}
EXPORT_SYMBOL_GPL(tmem_flush_object);

s32 tmem_batch_call(struct tmem_batch_entry *entries, u32 count, u32 *done)
{
	struct tmem_regs regs = {
		.rdi = virt_to_phys(entries),
		.rsi = count,
	};
	s32 status = tmem_transport_call(TMEM_CALL_BATCH, &regs);

	*done = status == TMEM_STATUS_OK ? min_t(u64, regs.rdi, count) : 0;
	return status;
}
