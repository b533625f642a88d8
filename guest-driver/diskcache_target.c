// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device-mapper target "tmem": a disk with a clean cache in the host.
 *
 *	0 <sectors> tmem <device>
 *
 * Sector n of the target is sector n of the device. The mapper claims the device
 * and tells when a bio has ended and its owner does not know yet; the rest is
 * diskcache.c.
 */
#include <linux/atomic.h>
#include <linux/device-mapper.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/suspend.h>

#include "diskcache.h"

/**
 * struct tmem_target - a disk that is cached
 * @dev: the disk
 * @cache: the cache; NULL where there is no host for it
 */
struct tmem_target {
	struct dm_dev *dev;
	struct tmem_diskcache *cache;
};

/**
 * enum tmem_target_bio_kind - what is to be done when a bio has ended
 * @TMEM_TARGET_NOTHING: nothing
 * @TMEM_TARGET_READ: put what was read
 * @TMEM_TARGET_WRITE: end a write
 */
enum tmem_target_bio_kind {
	TMEM_TARGET_NOTHING,
	TMEM_TARGET_READ,
	TMEM_TARGET_WRITE,
};

/**
 * struct tmem_target_bio - what is kept beside a bio until it has ended
 * @kind: which of the others is in use
 * @read: a read
 * @first: first block of a write
 * @count: its blocks
 */
struct tmem_target_bio {
	enum tmem_target_bio_kind kind;
	union {
		struct tmem_diskread read;
		struct {
			u64 first;
			u64 count;
		};
	};
};

/* Targets that have a pool. */
static atomic_t tmem_targets = ATOMIC_INIT(0);

static struct tmem_target_bio *tmem_target_bio(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct tmem_target_bio));
}

/* ---- bios ---- */

static void tmem_target_begin_write(struct tmem_target *target,
				    struct bio *bio, u64 sector)
{
	struct tmem_target_bio *kept = tmem_target_bio(bio);
	u64 end = DIV_ROUND_UP_ULL(sector + bio_sectors(bio),
				   TMEM_SECTORS_PER_BLOCK);

	kept->kind = TMEM_TARGET_WRITE;
	kept->first = sector / TMEM_SECTORS_PER_BLOCK;
	kept->count = end - kept->first;
	tmem_diskcache_begin_write(target->cache, kept->first, kept->count);
}

/* Flushes, alone or with a write, and FUA go on as they are. */
static int tmem_target_map(struct dm_target *ti, struct bio *bio)
{
	struct tmem_target *target = ti->private;
	struct tmem_target_bio *kept = tmem_target_bio(bio);
	u64 sector = dm_target_offset(ti, bio->bi_iter.bi_sector);

	kept->kind = TMEM_TARGET_NOTHING;
	bio_set_dev(bio, target->dev->bdev);
	if (!bio_sectors(bio))
		return DM_MAPIO_REMAPPED;
	bio->bi_iter.bi_sector = sector;
	if (!target->cache)
		return DM_MAPIO_REMAPPED;
	if (op_is_write(bio_op(bio))) {
		tmem_target_begin_write(target, bio, sector);
		return DM_MAPIO_REMAPPED;
	}
	if (bio_op(bio) != REQ_OP_READ)
		return DM_MAPIO_REMAPPED;
	/* The rest comes again. */
	if (bio_sectors(bio) > TMEM_DISKREAD_MAX * TMEM_SECTORS_PER_BLOCK &&
	    tmem_diskcache_may_read(target->cache, bio, sector))
		dm_accept_partial_bio(bio, TMEM_DISKREAD_MAX *
				      TMEM_SECTORS_PER_BLOCK);
	switch (tmem_diskcache_read(target->cache, bio, sector, &kept->read)) {
	case TMEM_DISKCACHE_SERVED:
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	case TMEM_DISKCACHE_READ:
		kept->kind = TMEM_TARGET_READ;
		break;
	case TMEM_DISKCACHE_BYPASS:
		break;
	}
	return DM_MAPIO_REMAPPED;
}

static int tmem_target_end_io(struct dm_target *ti, struct bio *bio,
			      blk_status_t *error)
{
	struct tmem_target *target = ti->private;
	struct tmem_target_bio *kept = tmem_target_bio(bio);

	switch (kept->kind) {
	case TMEM_TARGET_NOTHING:
		break;
	case TMEM_TARGET_READ:
		if (*error == BLK_STS_OK)
			tmem_diskcache_end_read(target->cache, bio,
						&kept->read);
		break;
	case TMEM_TARGET_WRITE:
		tmem_diskcache_end_write(target->cache, kept->first,
					 kept->count);
		break;
	}
	return DM_ENDIO_DONE;
}

/* ---- tables ---- */

/* A disk is of use without a cache: a guest whose root it is must boot anywhere. */
static int tmem_target_open_cache(struct tmem_target *target, sector_t sectors)
{
	struct tmem_diskcache *cache =
		tmem_diskcache_open(DIV_ROUND_UP_ULL(sectors,
						     TMEM_SECTORS_PER_BLOCK));

	if (!IS_ERR(cache)) {
		target->cache = cache;
		atomic_inc(&tmem_targets);
		return 0;
	}
	if (PTR_ERR(cache) == -ENOMEM)
		return -ENOMEM;
	pr_warn("%s is not cached: %s\n", target->dev->name,
		PTR_ERR(cache) == -ENODEV ? "no host" : "the host gives no pool");
	return 0;
}

static int tmem_target_open(struct dm_target *ti, struct tmem_target *target,
			    const char *device)
{
	int err = dm_get_device(ti, device, dm_table_get_mode(ti->table),
				&target->dev);

	if (err) {
		ti->error = "the device cannot be opened, or is in use";
		return err;
	}
	err = tmem_target_open_cache(target, ti->len);
	if (err)
		dm_put_device(ti, target->dev);
	return err;
}

static int tmem_target_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct tmem_target *target;
	int err;

	if (argc != 1) {
		ti->error = "want one argument, the device";
		return -EINVAL;
	}
	target = kzalloc(sizeof(*target), GFP_KERNEL);
	if (!target) {
		ti->error = "no memory";
		return -ENOMEM;
	}
	err = tmem_target_open(ti, target, argv[0]);
	if (err) {
		kfree(target);
		return err;
	}
	ti->private = target;
	ti->num_flush_bios = 1;
	ti->num_discard_bios = 1;
	ti->num_secure_erase_bios = 1;
	ti->num_write_zeroes_bios = 1;
	ti->per_io_data_size = sizeof(struct tmem_target_bio);
	return 0;
}

static void tmem_target_dtr(struct dm_target *ti)
{
	struct tmem_target *target = ti->private;

	if (target->cache) {
		tmem_diskcache_close(target->cache);
		atomic_dec(&tmem_targets);
	}
	dm_put_device(ti, target->dev);
	kfree(target);
}

/* Whoever suspends a device may change the disk below it. */
static void tmem_target_postsuspend(struct dm_target *ti)
{
	struct tmem_target *target = ti->private;

	if (target->cache)
		tmem_diskcache_drop_all(target->cache);
}

static void tmem_target_status(struct dm_target *ti, status_type_t type,
			       unsigned int flags, char *result,
			       unsigned int maxlen)
{
	struct tmem_target *target = ti->private;
	struct tmem_diskcache *cache = target->cache;
	unsigned int sz = 0;

	*result = '\0';
	if (type == STATUSTYPE_TABLE)
		DMEMIT("%s", target->dev->name);
	else if (type != STATUSTYPE_INFO)
		return;
	else if (!cache)
		DMEMIT("uncached");
	else
		DMEMIT("%s %u", cache->distrusted ? "distrusted" : "pool",
		       cache->pool);
}

static int tmem_target_iterate_devices(struct dm_target *ti,
				       iterate_devices_callout_fn fn,
				       void *data)
{
	struct tmem_target *target = ti->private;

	return fn(ti, target->dev, 0, ti->len, data);
}

static struct target_type tmem_target_type = {
	.name = "tmem",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.features = DM_TARGET_NOWAIT,
	.ctr = tmem_target_ctr,
	.dtr = tmem_target_dtr,
	.map = tmem_target_map,
	.end_io = tmem_target_end_io,
	.postsuspend = tmem_target_postsuspend,
	.status = tmem_target_status,
	.iterate_devices = tmem_target_iterate_devices,
};

/* ---- the module ---- */

/*
 * The image would come back with the id of a pool that is another life's, in
 * which somebody else's pages may be.
 */
static int tmem_target_pm_notify(struct notifier_block *block,
				 unsigned long event, void *unused)
{
	if (event != PM_HIBERNATION_PREPARE || !atomic_read(&tmem_targets))
		return NOTIFY_DONE;
	pr_warn("no hibernation while a disk has a cache in the host\n");
	return NOTIFY_BAD;
}

static struct notifier_block tmem_target_pm_notifier = {
	.notifier_call = tmem_target_pm_notify,
};

static int __init tmem_target_init(void)
{
	int err = register_pm_notifier(&tmem_target_pm_notifier);

	if (err)
		return err;
	err = dm_register_target(&tmem_target_type);
	if (err)
		unregister_pm_notifier(&tmem_target_pm_notifier);
	return err;
}
module_init(tmem_target_init);

static void __exit tmem_target_exit(void)
{
	dm_unregister_target(&tmem_target_type);
	unregister_pm_notifier(&tmem_target_pm_notifier);
}
module_exit(tmem_target_exit);

MODULE_DESCRIPTION("A clean cache of disks in the memory of a tmem host");
MODULE_LICENSE("GPL");
