// SPDX-License-Identifier: GPL-2.0-only
/* The swap device /dev/tmem0: making it, and what comes to it. */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "backing.h"
#include "compat/disk.h"
#include "counters.h"
#include "plug.h"
#include "size.h"
#include "swapdev.h"
#include "swapio.h"

static char *tmem_backing_path = "";
module_param_named(backing, tmem_backing_path, charp, 0444);
MODULE_PARM_DESC(backing,
		 "Block device for pages that the host refuses (default none: a refused page is a write error)");

static int tmem_synchronous = -1;
module_param_named(synchronous, tmem_synchronous, int, 0444);
MODULE_PARM_DESC(synchronous,
		 "1: page by page, inline; 0: with readahead and batches; -1 (default): 1 without backing=, else 0");

static struct tmem_swapdev *tmem_swapdev;

/* Pages by size=, else as many as the backing disk has, else by the RAM. */
static int tmem_swapdev_pages(const struct tmem_backing *backing, u32 *pages)
{
	u64 most = (u64)U32_MAX << PAGE_SHIFT;
	u64 bytes = tmem_size_bytes();

	if (backing)
		most = min(most, tmem_backing_bytes(backing));
	if (!bytes)
		bytes = backing ? most : tmem_size_by_ram();
	if (bytes < PAGE_SIZE || bytes > most) {
		pr_err("size of %llu bytes: need between one page and %llu\n",
		       bytes, most);
		return -EINVAL;
	}
	*pages = bytes >> PAGE_SHIFT;
	return 0;
}

static int tmem_swapdev_open(struct tmem_swapdev *dev)
{
	struct tmem_area area = { };
	u32 pages;
	int err;

	if (*tmem_backing_path) {
		dev->backing = tmem_backing_open(tmem_backing_path, dev);
		if (IS_ERR(dev->backing))
			return PTR_ERR(dev->backing);
	}
	dev->synchronous = tmem_synchronous < 0 ? !dev->backing :
						  tmem_synchronous;
	err = tmem_swapdev_pages(dev->backing, &pages);
	if (err)
		goto close_backing;
	err = tmem_pool_new(TMEM_POOL_PERSISTENT);
	if (err < 0)
		goto close_backing;
	area.pool = err;
	err = tmem_slots_init(&dev->slots, &area, pages);
	if (err)
		goto drop_pool;
	dev->disk = tmem_disk_create(dev, (sector_t)pages *
				     TMEM_SECTORS_PER_PAGE, dev->synchronous);
	if (IS_ERR(dev->disk)) {
		err = PTR_ERR(dev->disk);
		goto free_slots;
	}
	return 0;

free_slots:
	tmem_slots_exit(&dev->slots);
drop_pool:
	tmem_pool_destroy(area.pool);
close_backing:
	tmem_backing_close(dev->backing);
	return err;
}

int tmem_swapdev_create(void)
{
	struct tmem_swapdev *dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	int err;

	if (!dev)
		return -ENOMEM;
	err = tmem_swapdev_open(dev);
	if (err) {
		kfree(dev);
		return err;
	}
	tmem_swapdev = dev;
	pr_info("%s: %u pages, %s, %s\n", dev->disk->disk_name,
		dev->slots.count,
		dev->synchronous ? "synchronous" : "with readahead",
		dev->backing ? tmem_backing_path : "no backing disk");
	return 0;
}

void tmem_swapdev_destroy(void)
{
	struct tmem_swapdev *dev = tmem_swapdev;

	if (!dev)
		return;
	tmem_swapdev = NULL;
	tmem_disk_destroy(dev->disk);
	tmem_backing_close(dev->backing);
	tmem_slots_exit(&dev->slots);
	tmem_pool_destroy(dev->slots.area.pool);
	kfree(dev);
}

u64 tmem_swapdev_stored(void)
{
	return tmem_swapdev ? tmem_slots_stored(&tmem_swapdev->slots) : 0;
}

bool tmem_swapdev_is_backed(void)
{
	return tmem_swapdev && tmem_swapdev->backing;
}

/*
 * A page must be one frame, which O_DIRECT and a partial write of a page's
 * buffers would break.
 */
static bool tmem_bio_is_whole_pages(struct bio *bio)
{
	struct bvec_iter iter;
	struct bio_vec bvec;

	if (bio->bi_iter.bi_sector % TMEM_SECTORS_PER_PAGE)
		return false;
	bio_for_each_segment(bvec, bio, iter)
		if (bvec.bv_offset || bvec.bv_len != PAGE_SIZE)
			return false;
	return true;
}

static bool tmem_read_is_on_disk(struct tmem_swapdev *dev, struct bio *bio)
{
	u32 first = tmem_bio_slot(bio);
	u32 i;

	for (i = 0; i < tmem_bio_pages(bio); i++)
		if (tmem_slot_state(&dev->slots, first + i) !=
		    TMEM_SLOT_ON_DISK)
			return false;
	return true;
}

void tmem_swapdev_submit(struct tmem_swapdev *dev, struct bio *bio)
{
	bool read = bio_op(bio) == REQ_OP_READ;

	if (!read && bio_op(bio) != REQ_OP_WRITE) {
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
	} else if (!bio->bi_iter.bi_size) {
		/* A flush on its own: there is no cache below to empty. */
		bio_endio(bio);
	} else if (!tmem_bio_is_whole_pages(bio)) {
		tmem_count(TMEM_BIOS_REFUSED);
		bio_io_error(bio);
	} else if (read && dev->backing && tmem_read_is_on_disk(dev, bio)) {
		tmem_backing_read_whole(dev->backing, bio);
	} else if (dev->synchronous || !tmem_plug_collect(dev, bio)) {
		tmem_swapio_run_one(dev, bio);
	}
}
