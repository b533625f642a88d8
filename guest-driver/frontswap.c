// SPDX-License-Identifier: GPL-2.0-only
/* The frontswap front end: shadows ordinary swap areas. */
#include "frontswap.h"

#ifdef TMEM_HAVE_FRONTSWAP
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "batch.h"
#include "counters.h"
#include "size.h"
#include "slots.h"

/*
 * The slots of each swap area by its type, set at swapon and kept: the kernel
 * says neither the size of an area nor, for the last time, that it is gone.
 */
static struct tmem_slots *tmem_areas[MAX_SWAPFILES];
static u32 tmem_frontswap_pool;

/* swapon. The area's pages are those below size=; the others go to its device. */
static void tmem_frontswap_init(unsigned int type)
{
	struct tmem_area area = {
		.pool = tmem_frontswap_pool,
		.object = { type },
	};
	u64 bytes = tmem_size_bytes() ?: tmem_size_by_ram();
	struct tmem_slots *slots;

	if (type >= MAX_SWAPFILES || tmem_areas[type])
		return;
	slots = kzalloc(sizeof(*slots), GFP_KERNEL);
	if (!slots ||
	    tmem_slots_init(slots, &area,
			    min_t(u64, bytes >> PAGE_SHIFT, U32_MAX))) {
		pr_err("no memory for the slots of swap area %u: not shadowed\n",
		       type);
		kfree(slots);
		return;
	}
	/* Stores look at it without a lock as soon as it is there. */
	smp_store_release(&tmem_areas[type], slots);
}

static struct tmem_slots *tmem_area_of(unsigned int type, pgoff_t slot)
{
	struct tmem_slots *slots;

	if (type >= MAX_SWAPFILES)
		return NULL;
	/* Pairs with the release at swapon. */
	slots = smp_load_acquire(&tmem_areas[type]);
	return slots && slot < slots->count ? slots : NULL;
}

/*
 * Not taken, and so written to the device: a huge page, which comes once for
 * all its pages; and a page of a synchronous device, of which two faults may
 * each want a copy, while the store has none after the first (gets are
 * exclusive).
 */
static bool tmem_frontswap_takes(struct page *page)
{
	return !PageCompound(page) && !tmem_swaps_synchronously(page);
}

static int tmem_frontswap_store(unsigned int type, pgoff_t slot,
				struct page *page)
{
	struct tmem_slots *slots = tmem_area_of(type, slot);

	if (!slots || !tmem_frontswap_takes(page) ||
	    tmem_slot_begin_write(slots, slot) == TMEM_WRITE_OVERLAPS) {
		tmem_count_many(TMEM_FRONTSWAP_DECLINED, compound_nr(page));
		return -EINVAL;
	}
	if (tmem_batch_one(TMEM_CALL_PUT, 0, &slots->area, slot,
			   page_to_pfn(page)) != TMEM_STATUS_OK) {
		tmem_slot_end_write(slots, slot, TMEM_SLOT_EMPTY);
		return -ENOSPC;
	}
	tmem_slot_end_write(slots, slot, TMEM_SLOT_STORED);
	return 0;
}

/*
 * A loaded page leaves the store, or it would fill with copies of resident
 * pages: the kernel keeps slots of loaded pages until half the swap is in use.
 * So the page is all there is, and dirty: it is stored again before it goes.
 *
 * The kernel can do as much by itself (frontswap_tmem_exclusive_gets), but for
 * all back ends, and forgets then that any of them has the slot. zswap keeps
 * what it has loaded: its old page would be neither replaced nor dropped, and
 * written over a newer one on the device when zswap makes room.
 *
 * The kernel takes a failed load of a stored page as leave to read the device,
 * where there is something else. Better no guest than one with wrong memory.
 */
static int tmem_frontswap_load(unsigned int type, pgoff_t slot,
			       struct page *page)
{
	struct tmem_slots *slots = tmem_area_of(type, slot);
	s32 status;

	/* Another back end, zswap, has it. */
	if (!slots || tmem_slot_state(slots, slot) != TMEM_SLOT_STORED)
		return -ENOENT;
	status = tmem_batch_one(TMEM_CALL_GET, TMEM_GET_EXCLUSIVE, &slots->area,
				slot, page_to_pfn(page));
	if (status != TMEM_STATUS_OK)
		panic("tmem: page %lu of swap area %u is lost: status %d",
		      slot, type, status);
	tmem_slot_set_empty(slots, slot);
	SetPageDirty(page);
	return 0;
}

/* A slot is free. Under locks of the swap code, interrupts off. */
static void tmem_frontswap_invalidate_page(unsigned int type, pgoff_t slot)
{
	struct tmem_slots *slots = tmem_area_of(type, slot);

	if (slots)
		tmem_slot_free(slots, slot);
}

/* swapoff: every page was loaded or freed; the rest is frees that are pending. */
static void tmem_frontswap_invalidate_area(unsigned int type)
{
	struct tmem_slots *slots = tmem_area_of(type, 0);

	if (slots)
		tmem_slots_drop_all(slots);
}

static struct frontswap_ops tmem_frontswap_ops = {
	.init = tmem_frontswap_init,
	.store = tmem_frontswap_store,
	.load = tmem_frontswap_load,
	.invalidate_page = tmem_frontswap_invalidate_page,
	.invalidate_area = tmem_frontswap_invalidate_area,
};

int tmem_frontswap_register(void)
{
	int pool = tmem_pool_new(TMEM_POOL_PERSISTENT);

	if (pool < 0)
		return pool;
	tmem_frontswap_pool = pool;
	__module_get(THIS_MODULE);
	frontswap_register_ops(&tmem_frontswap_ops);
	pr_info("frontswap: the module cannot be unloaded any more\n");
	return 0;
}

u64 tmem_frontswap_stored(void)
{
	u64 stored = 0;
	u32 type;

	for (type = 0; type < MAX_SWAPFILES; type++) {
		struct tmem_slots *slots = tmem_area_of(type, 0);

		if (slots)
			stored += tmem_slots_stored(slots);
	}
	return stored;
}
#endif
