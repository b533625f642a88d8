// SPDX-License-Identifier: GPL-2.0-only
/* Opening a block device from inside the kernel; changed in 6.5, 6.7 and 6.9. */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/version.h>

#include "bdev.h"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)

int tmem_bdev_open(struct tmem_bdev *dev, const char *path, void *holder)
{
	struct file *file = bdev_file_open_by_path(path, BLK_OPEN_READ |
						   BLK_OPEN_WRITE, holder,
						   NULL);

	if (IS_ERR(file))
		return PTR_ERR(file);
	dev->handle = file;
	dev->bdev = file_bdev(file);
	return 0;
}

void tmem_bdev_close(struct tmem_bdev *dev, void *holder)
{
	bdev_fput(dev->handle);
}

#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)

int tmem_bdev_open(struct tmem_bdev *dev, const char *path, void *holder)
{
	struct bdev_handle *handle = bdev_open_by_path(path, BLK_OPEN_READ |
						       BLK_OPEN_WRITE, holder,
						       NULL);

	if (IS_ERR(handle))
		return PTR_ERR(handle);
	dev->handle = handle;
	dev->bdev = handle->bdev;
	return 0;
}

void tmem_bdev_close(struct tmem_bdev *dev, void *holder)
{
	bdev_release(dev->handle);
}

#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)

int tmem_bdev_open(struct tmem_bdev *dev, const char *path, void *holder)
{
	dev->bdev = blkdev_get_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE,
				       holder, NULL);
	return PTR_ERR_OR_ZERO(dev->bdev);
}

void tmem_bdev_close(struct tmem_bdev *dev, void *holder)
{
	blkdev_put(dev->bdev, holder);
}

#else

#define TMEM_BDEV_MODE (FMODE_READ | FMODE_WRITE | FMODE_EXCL)

int tmem_bdev_open(struct tmem_bdev *dev, const char *path, void *holder)
{
	dev->bdev = blkdev_get_by_path(path, TMEM_BDEV_MODE, holder);
	return PTR_ERR_OR_ZERO(dev->bdev);
}

void tmem_bdev_close(struct tmem_bdev *dev, void *holder)
{
	blkdev_put(dev->bdev, TMEM_BDEV_MODE);
}

#endif

u64 tmem_bdev_bytes(struct block_device *bdev)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 16, 0)
	return bdev_nr_bytes(bdev);
#else
	return i_size_read(bdev->bd_inode);
#endif
}
