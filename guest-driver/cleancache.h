/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The cleancache front end: a second page cache in the host. A clean page of a
 * file goes there when the kernel evicts it, and is looked for there before the
 * disk is read.
 */
#ifndef TMEM_CLEANCACHE_H
#define TMEM_CLEANCACHE_H

#include <linux/errno.h>
#include <linux/types.h>

#include "compat/file_hooks.h"

#ifdef TMEM_HAVE_CLEANCACHE
static inline bool tmem_cleancache_supported(void)
{
	return true;
}

/*
 * Registers with cleancache, for all file systems mounted and to come. There
 * is no way back: the module stays until the guest ends. -EBUSY: somebody else
 * has registered; -ENOMEM.
 */
int tmem_cleancache_register(void);
#else
static inline bool tmem_cleancache_supported(void)
{
	return false;
}

static inline int tmem_cleancache_register(void)
{
	return -EOPNOTSUPP;
}
#endif

#endif
