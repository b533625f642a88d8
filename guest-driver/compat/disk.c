// SPDX-License-Identifier: GPL-2.0-only
/* Making the block device, and being asked by the block layer. */
#include <linux/module.h>
#include <linux/numa.h>

#include "../frees.h"
#include "../swapdev.h"
#include "disk.h"

/* ---- what the block layer calls ---- */

static struct tmem_swapdev *tmem_disk_of(const struct bio *bio)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 12, 0)
	return bio->bi_disk->private_data;
#else
	return bio->bi_bdev->bd_disk->private_data;
#endif
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 16, 0)
static blk_qc_t tmem_disk_submit_bio(struct bio *bio)
{
	tmem_swapdev_submit(tmem_disk_of(bio), bio);
	return BLK_QC_T_NONE;
}
#else
static void tmem_disk_submit_bio(struct bio *bio)
{
	tmem_swapdev_submit(tmem_disk_of(bio), bio);
}
#endif

/* Atomic, under locks of the swap code. */
static void tmem_disk_slot_freed(struct block_device *bdev, unsigned long slot)
{
	struct tmem_swapdev *dev = bdev->bd_disk->private_data;

	if (slot < dev->slots.count)
		tmem_slot_free(&dev->slots, slot);
}

static const struct block_device_operations tmem_disk_ops = {
	.owner = THIS_MODULE,
	.submit_bio = tmem_disk_submit_bio,
	.swap_slot_free_notify = tmem_disk_slot_freed,
};

#ifdef TMEM_HAVE_RW_PAGE
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 0, 0)
static int tmem_disk_rw_page(struct block_device *bdev, sector_t sector,
			     struct page *page, unsigned int op)
#else
static int tmem_disk_rw_page(struct block_device *bdev, sector_t sector,
			     struct page *page, enum req_op op)
#endif
{
	return tmem_rw_page(bdev->bd_disk->private_data, sector, page,
			    op_is_write(op));
}

static const struct block_device_operations tmem_disk_ops_synchronous = {
	.owner = THIS_MODULE,
	.submit_bio = tmem_disk_submit_bio,
	.rw_page = tmem_disk_rw_page,
	.swap_slot_free_notify = tmem_disk_slot_freed,
};
#else
#define tmem_disk_ops_synchronous tmem_disk_ops
#endif

/* ---- the limits: whole pages in whole frames, one batch a bio ---- */

#define TMEM_MAX_SECTORS (TMEM_BATCH_MAX * TMEM_SECTORS_PER_PAGE)

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
static struct gendisk *tmem_disk_alloc(bool synchronous)
{
	struct queue_limits limits = {
		.logical_block_size = PAGE_SIZE,
		.physical_block_size = PAGE_SIZE,
		.max_hw_sectors = TMEM_MAX_SECTORS,
		.dma_alignment = PAGE_SIZE - 1,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
		/* Not BLK_FEAT_ROTATIONAL: swap looks at it, for clusters. */
		.features = synchronous ? BLK_FEAT_SYNCHRONOUS : 0,
#endif
	};
	struct gendisk *disk = blk_alloc_disk(&limits, NUMA_NO_NODE);

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
	if (IS_ERR(disk))
		return disk;
	blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
	if (synchronous)
		blk_queue_flag_set(QUEUE_FLAG_SYNCHRONOUS, disk->queue);
#endif
	return disk;
}
#else
static void tmem_disk_limit(struct request_queue *queue, bool synchronous)
{
	blk_queue_logical_block_size(queue, PAGE_SIZE);
	blk_queue_physical_block_size(queue, PAGE_SIZE);
	blk_queue_max_hw_sectors(queue, TMEM_MAX_SECTORS);
	blk_queue_dma_alignment(queue, PAGE_SIZE - 1);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, queue);
#ifndef TMEM_HAVE_RW_PAGE
	if (synchronous)
		blk_queue_flag_set(QUEUE_FLAG_SYNCHRONOUS, queue);
#endif
}

static struct gendisk *tmem_disk_alloc(bool synchronous)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return ERR_PTR(-ENOMEM);
#else
	struct request_queue *queue = blk_alloc_queue(NUMA_NO_NODE);
	struct gendisk *disk;

	if (!queue)
		return ERR_PTR(-ENOMEM);
	disk = alloc_disk(0);
	if (!disk) {
		blk_cleanup_queue(queue);
		return ERR_PTR(-ENOMEM);
	}
	disk->queue = queue;
#endif
	tmem_disk_limit(disk->queue, synchronous);
	return disk;
}
#endif

static void tmem_disk_release(struct gendisk *disk)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 14, 0)
	blk_cleanup_queue(disk->queue);
	put_disk(disk);
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 0, 0)
	blk_cleanup_disk(disk);
#else
	put_disk(disk);
#endif
}

/* Returns 0 or an errno; before 5.15 the kernel does not say. */
static int tmem_disk_add(struct gendisk *disk)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 15, 0)
	add_disk(disk);
	return 0;
#else
	return add_disk(disk);
#endif
}

/* Frees are told by page of the device: a partition would shift them. */
static unsigned int tmem_disk_flags(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 17, 0)
	return GENHD_FL_EXT_DEVT | GENHD_FL_NO_PART_SCAN;
#else
	return GENHD_FL_NO_PART;
#endif
}

struct gendisk *tmem_disk_create(struct tmem_swapdev *dev, sector_t sectors,
				 bool synchronous)
{
	struct gendisk *disk = tmem_disk_alloc(synchronous);
	int err;

	if (IS_ERR(disk))
		return disk;
	snprintf(disk->disk_name, sizeof(disk->disk_name), "tmem0");
	disk->flags |= tmem_disk_flags();
	disk->fops = synchronous ? &tmem_disk_ops_synchronous : &tmem_disk_ops;
	disk->private_data = dev;
	set_capacity(disk, sectors);
	err = tmem_disk_add(disk);
	if (err) {
		tmem_disk_release(disk);
		return ERR_PTR(err);
	}
	return disk;
}

void tmem_disk_destroy(struct gendisk *disk)
{
	del_gendisk(disk);
	tmem_disk_release(disk);
}
