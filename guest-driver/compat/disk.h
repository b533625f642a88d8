/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Making the block device, and being asked by the block layer. Differences:
 *	5.12		how a bio names its disk
 *	5.14, 6.9	how disk and queue are allocated
 *	5.16		what submit_bio returns
 *	5.17		how to say that there are no partitions
 *	6.3, 6.11	how a device says that it is synchronous
 *	6.3		pages without a bio are gone
 */
#ifndef TMEM_COMPAT_DISK_H
#define TMEM_COMPAT_DISK_H

#include <linux/blkdev.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
/* A device is synchronous for swap by having rw_page. */
#define TMEM_HAVE_RW_PAGE
#endif

struct tmem_swapdev;

/* Makes the disk and makes it known; an ERR_PTR if that fails. */
struct gendisk *tmem_disk_create(struct tmem_swapdev *dev, sector_t sectors,
				 bool synchronous);

/* Takes it away; nobody has it open. */
void tmem_disk_destroy(struct gendisk *disk);

#ifdef TMEM_HAVE_RW_PAGE
/*
 * Reads or writes one page inline. 0: done, and the page is told. Else the
 * kernel sends a bio.
 */
int tmem_rw_page(struct tmem_swapdev *dev, sector_t sector, struct page *page,
		 bool write);
#endif

#endif
