/* SPDX-License-Identifier: GPL-2.0-only */
/* Cloning a bio for another device; changed in 5.18. */
#ifndef TMEM_COMPAT_BIO_H
#define TMEM_COMPAT_BIO_H

#include <linux/bio.h>
#include <linux/version.h>

/* May wait for a clone of the set to come back; never fails. */
static inline struct bio *tmem_bio_clone(struct block_device *bdev,
					 struct bio *bio, struct bio_set *set)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 18, 0)
	struct bio *clone = bio_clone_fast(bio, GFP_NOIO, set);

	bio_set_dev(clone, bdev);
	return clone;
#else
	return bio_alloc_clone(bdev, bio, GFP_NOIO, set);
#endif
}

#endif
