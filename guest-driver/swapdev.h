/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The swap device /dev/tmem0: a block device whose pages are in the store, or,
 * where the store refuses them, on a backing disk at the same offset.
 */
#ifndef TMEM_SWAPDEV_H
#define TMEM_SWAPDEV_H

#include <linux/bio.h>
#include <linux/blkdev.h>

#include "backoff.h"
#include "slots.h"

#define TMEM_SECTORS_PER_PAGE (PAGE_SIZE >> SECTOR_SHIFT)

struct tmem_backing;

/**
 * struct tmem_swapdev - the swap device
 * @slots: where each of its pages is
 * @disk: the block device
 * @backing: where refused pages go, or NULL
 * @backoff: without @backing: spares calls to a store that is full
 * @synchronous: the kernel reads and writes inline, past readahead and batches
 */
struct tmem_swapdev {
	struct tmem_slots slots;
	struct gendisk *disk;
	struct tmem_backing *backing;
	struct tmem_backoff backoff;
	bool synchronous;
};

static inline u32 tmem_bio_slot(const struct bio *bio)
{
	return bio->bi_iter.bi_sector / TMEM_SECTORS_PER_PAGE;
}

static inline u32 tmem_bio_pages(const struct bio *bio)
{
	return bio->bi_iter.bi_size >> PAGE_SHIFT;
}

/* Makes /dev/tmem0 as the module parameters say. */
int tmem_swapdev_create(void);

/* Nobody may have the device open. Drops its pool. */
void tmem_swapdev_destroy(void);

/* Pages of the device that are in the store and nowhere else. */
u64 tmem_swapdev_stored(void);

/* Whether there is the device, and a backing disk. */
bool tmem_swapdev_is_backed(void);

/*
 * Whether to refuse a page for @slot without asking the store. Never where the
 * store may hold an older page of the slot: the put is what would drop it.
 */
static inline bool tmem_swapdev_backs_off(struct tmem_swapdev *dev, u32 slot)
{
	return !dev->backing && tmem_backoff_active(&dev->backoff) &&
	       tmem_slot_state(&dev->slots, slot) == TMEM_SLOT_EMPTY;
}

/* A bio for the device, from compat/disk.c. Ends it, now or later. */
void tmem_swapdev_submit(struct tmem_swapdev *dev, struct bio *bio);

#endif
