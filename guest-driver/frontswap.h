/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frontswap front end: shadows ordinary swap areas. A page that the store
 * takes is not written to the area's device.
 */
#ifndef TMEM_FRONTSWAP_H
#define TMEM_FRONTSWAP_H

#include <linux/errno.h>
#include <linux/types.h>

#include "compat/swap_hooks.h"

#ifdef TMEM_HAVE_FRONTSWAP
/*
 * Registers with frontswap. There is no way back: the module stays until the
 * guest ends.
 */
int tmem_frontswap_register(void);

/* Pages that are in the store and nowhere else. */
u64 tmem_frontswap_stored(void);
#else
static inline int tmem_frontswap_register(void)
{
	return -EOPNOTSUPP;
}

static inline u64 tmem_frontswap_stored(void)
{
	return 0;
}
#endif

#endif
