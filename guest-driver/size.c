// SPDX-License-Identifier: GPL-2.0-only
/* The module parameter size=. */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sysfs.h>

#include "size.h"

static u64 tmem_size;

static int tmem_size_set(const char *value, const struct kernel_param *param)
{
	char *end;
	u64 bytes = memparse(value, &end);

	if (end == value || (*end && *end != '\n') || bytes < PAGE_SIZE)
		return -EINVAL;
	tmem_size = bytes;
	return 0;
}

static int tmem_size_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%llu\n", tmem_size);
}

static const struct kernel_param_ops tmem_size_ops = {
	.set = tmem_size_set,
	.get = tmem_size_get,
};

module_param_cb(size, &tmem_size_ops, &tmem_size, 0444);
MODULE_PARM_DESC(size,
		 "Size in bytes, K, M, G understood (default: that of backing=, else twice the RAM)");

u64 tmem_size_bytes(void)
{
	return tmem_size;
}

u64 tmem_size_by_ram(void)
{
	return 2 * (u64)totalram_pages() << PAGE_SHIFT;
}
