/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Modules can register with cleancache up to 5.16, where the kernel has it.
 *
 * Not where it makes huge pages of files: it then invalidates such a page by
 * the index of its first 4 KiB alone, and an older copy of the rest would stay
 * behind in the store.
 */
#ifndef TMEM_COMPAT_FILE_HOOKS_H
#define TMEM_COMPAT_FILE_HOOKS_H

#include <linux/kconfig.h>
#include <linux/version.h>

#if IS_ENABLED(CONFIG_CLEANCACHE) &&				\
	!IS_ENABLED(CONFIG_READ_ONLY_THP_FOR_FS) &&		\
	LINUX_VERSION_CODE < KERNEL_VERSION(5, 17, 0)
#define TMEM_HAVE_CLEANCACHE
#endif

#endif
