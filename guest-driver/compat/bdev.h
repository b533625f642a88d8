/* SPDX-License-Identifier: GPL-2.0-only */
/* Opening a block device from inside the kernel; changed in 6.5, 6.7 and 6.9. */
#ifndef TMEM_COMPAT_BDEV_H
#define TMEM_COMPAT_BDEV_H

#include <linux/blkdev.h>

/**
 * struct tmem_bdev - an open block device
 * @bdev: the device
 * @handle: what the kernel wants back at the end, where that is another thing
 */
struct tmem_bdev {
	struct block_device *bdev;
	void *handle;
};

/* Opens @path for reading and writing by @holder alone. Returns 0 or an errno. */
int tmem_bdev_open(struct tmem_bdev *dev, const char *path, void *holder);
void tmem_bdev_close(struct tmem_bdev *dev, void *holder);
u64 tmem_bdev_bytes(struct block_device *bdev);

#endif
