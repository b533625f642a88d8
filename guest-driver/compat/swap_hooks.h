/* SPDX-License-Identifier: GPL-2.0-only */
/* Modules can register with frontswap up to 5.16, where the kernel has it. */
#ifndef TMEM_COMPAT_SWAP_HOOKS_H
#define TMEM_COMPAT_SWAP_HOOKS_H

#include <linux/kconfig.h>
#include <linux/version.h>

#if IS_ENABLED(CONFIG_FRONTSWAP) && LINUX_VERSION_CODE < KERNEL_VERSION(5, 17, 0)
#define TMEM_HAVE_FRONTSWAP
#endif

#ifdef TMEM_HAVE_FRONTSWAP
#include <linux/blkdev.h>
#include <linux/frontswap.h>
#include <linux/mm.h>

/*
 * The page of the swap cache goes to a device that swap treats as synchronous:
 * by having rw_page, on all kernels that have frontswap for modules. For a file
 * that is the device of its file system, which may have none.
 */
static inline bool tmem_swaps_synchronously(struct page *page)
{
	struct inode *host = page_file_mapping(page)->host;
	struct block_device *bdev = host->i_sb->s_bdev;

	if (S_ISBLK(host->i_mode))
		bdev = I_BDEV(host);
	return bdev && bdev->bd_disk->fops->rw_page;
}
#endif

#endif
