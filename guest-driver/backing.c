// SPDX-License-Identifier: GPL-2.0-only
/*
 * The disk for pages that the host refuses.
 *
 * A bio of which the disk must do some pages goes to a worker, which clones the
 * runs of such pages. The worker, because refusals are met in schedule(), where
 * nothing may wait; a bio_set of the driver's own, because reclaim waits for
 * these writes: each clone goes to the disk before the next is taken, so a
 * reserve of one is enough to get on.
 */
#include <linux/bio.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "backing.h"
#include "compat/bdev.h"
#include "compat/bio.h"
#include "counters.h"

#define TMEM_BACKING_RESERVE 64

/**
 * struct tmem_backing - the disk
 * @dev: whose pages it takes
 * @bdev: the disk, open for the driver alone
 * @clones: reserve of struct tmem_part
 * @lock: guards @bios
 * @bios: what the worker has yet to do
 * @work: the worker
 * @queue: where it runs, with a thread in reserve
 */
struct tmem_backing {
	struct tmem_swapdev *dev;
	struct tmem_bdev bdev;
	struct bio_set clones;
	spinlock_t lock; /* taken with interrupts off */
	struct bio_list bios;
	struct work_struct work;
	struct workqueue_struct *queue;
};

/**
 * struct tmem_part - a run of pages of a bio on its way to the disk
 * @dev: the swap device
 * @parent: the bio
 * @first: first slot of the run
 * @count: its slots
 * @bio: the clone
 */
struct tmem_part {
	struct tmem_swapdev *dev;
	struct bio *parent;
	u32 first;
	u32 count;
	struct bio bio;
};

static bool tmem_slot_needs_disk(struct tmem_swapdev *dev, struct bio *bio,
				 u32 slot)
{
	if (bio_op(bio) == REQ_OP_WRITE)
		return tmem_slot_refused(&dev->slots, slot);
	return tmem_slot_state(&dev->slots, slot) == TMEM_SLOT_ON_DISK;
}

bool tmem_backing_has_part(struct tmem_backing *backing, struct bio *bio)
{
	u32 first = tmem_bio_slot(bio);
	u32 i;

	for (i = 0; i < tmem_bio_pages(bio); i++)
		if (tmem_slot_needs_disk(backing->dev, bio, first + i))
			return true;
	return false;
}

static void tmem_part_end(struct bio *clone)
{
	struct tmem_part *part = container_of(clone, struct tmem_part, bio);
	struct tmem_swapdev *dev = part->dev;
	struct bio *parent = part->parent;
	u32 i;

	if (clone->bi_status) {
		tmem_count(TMEM_BACKING_ERRORS);
		parent->bi_status = clone->bi_status;
	}
	if (bio_op(clone) == REQ_OP_WRITE)
		for (i = 0; i < part->count; i++)
			tmem_slot_end_write(&dev->slots, part->first + i,
					    clone->bi_status ?
					    TMEM_SLOT_EMPTY :
					    TMEM_SLOT_ON_DISK);
	bio_put(clone);
	bio_endio(parent);
}

/* Sends pages @offset to @offset + @count of the bio to the disk. */
static void tmem_part_send(struct tmem_backing *backing, struct bio *parent,
			   u32 offset, u32 count)
{
	struct bio *clone = tmem_bio_clone(backing->bdev.bdev, parent,
					   &backing->clones);
	struct tmem_part *part = container_of(clone, struct tmem_part, bio);

	bio_trim(clone, offset * TMEM_SECTORS_PER_PAGE,
		 count * TMEM_SECTORS_PER_PAGE);
	part->dev = backing->dev;
	part->parent = parent;
	part->first = tmem_bio_slot(clone);
	part->count = count;
	clone->bi_end_io = tmem_part_end;
	tmem_count_many(bio_op(parent) == REQ_OP_WRITE ? TMEM_BACKING_WRITES :
							 TMEM_BACKING_READS,
			count);
	bio_inc_remaining(parent);
	submit_bio_noacct(clone);
}

/* The parent cannot end before the reference of its own is dropped here. */
static void tmem_backing_run(struct tmem_backing *backing, struct bio *bio)
{
	u32 pages = tmem_bio_pages(bio);
	u32 first = tmem_bio_slot(bio);
	u32 start = 0;
	u32 parts = 0;

	while (start < pages) {
		u32 end = start;

		while (end < pages &&
		       tmem_slot_needs_disk(backing->dev, bio, first + end))
			end++;
		if (end > start) {
			tmem_part_send(backing, bio, start, end - start);
			parts += end - start < pages;
		}
		start = end + 1;
	}
	if (parts)
		tmem_count(TMEM_BIOS_SPLIT);
	bio_endio(bio);
}

static void tmem_backing_work(struct work_struct *work)
{
	struct tmem_backing *backing =
		container_of(work, struct tmem_backing, work);
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&backing->lock);
	bios = backing->bios;
	bio_list_init(&backing->bios);
	spin_unlock_irq(&backing->lock);

	while ((bio = bio_list_pop(&bios)))
		tmem_backing_run(backing, bio);
}

void tmem_backing_queue(struct tmem_backing *backing, struct bio *bio)
{
	unsigned long flags;

	spin_lock_irqsave(&backing->lock, flags);
	bio_list_add(&backing->bios, bio);
	spin_unlock_irqrestore(&backing->lock, flags);
	queue_work(backing->queue, &backing->work);
}

void tmem_backing_read_whole(struct tmem_backing *backing, struct bio *bio)
{
	tmem_count_many(TMEM_BACKING_READS, tmem_bio_pages(bio));
	bio_set_dev(bio, backing->bdev.bdev);
	submit_bio_noacct(bio);
}

u64 tmem_backing_bytes(const struct tmem_backing *backing)
{
	return tmem_bdev_bytes(backing->bdev.bdev);
}

static int tmem_backing_start(struct tmem_backing *backing, const char *path)
{
	int err = tmem_bdev_open(&backing->bdev, path, backing);

	if (err) {
		pr_err("backing disk %s: error %d\n", path, err);
		return err;
	}
	if (bdev_logical_block_size(backing->bdev.bdev) > PAGE_SIZE) {
		pr_err("backing disk %s: blocks larger than a page\n", path);
		err = -EINVAL;
		goto close;
	}
	err = bioset_init(&backing->clones, TMEM_BACKING_RESERVE,
			  offsetof(struct tmem_part, bio), 0);
	if (err)
		goto close;
	backing->queue = alloc_workqueue("tmem_backing",
					 WQ_UNBOUND | WQ_MEM_RECLAIM, 1);
	if (backing->queue)
		return 0;
	err = -ENOMEM;
	bioset_exit(&backing->clones);
close:
	tmem_bdev_close(&backing->bdev, backing);
	return err;
}

struct tmem_backing *tmem_backing_open(const char *path,
				       struct tmem_swapdev *dev)
{
	struct tmem_backing *backing = kzalloc(sizeof(*backing), GFP_KERNEL);
	int err;

	if (!backing)
		return ERR_PTR(-ENOMEM);
	backing->dev = dev;
	spin_lock_init(&backing->lock);
	bio_list_init(&backing->bios);
	INIT_WORK(&backing->work, tmem_backing_work);
	err = tmem_backing_start(backing, path);
	if (err) {
		kfree(backing);
		return ERR_PTR(err);
	}
	return backing;
}

void tmem_backing_close(struct tmem_backing *backing)
{
	if (!backing)
		return;
	destroy_workqueue(backing->queue);
	bioset_exit(&backing->clones);
	tmem_bdev_close(&backing->bdev, backing);
	kfree(backing);
}
