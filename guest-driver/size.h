/* SPDX-License-Identifier: GPL-2.0-only */
/* The module parameter size=. */
#ifndef TMEM_SIZE_H
#define TMEM_SIZE_H

#include <linux/types.h>

/* The size in bytes that was asked for, or 0: the front end decides. */
u64 tmem_size_bytes(void);

/* What is right for most guests: twice the RAM, in bytes. */
u64 tmem_size_by_ram(void);

#endif
