/* SPDX-License-Identifier: GPL-2.0-only */
/* The driver as a whole, for those who come after it. */
#ifndef TMEM_DRIVER_H
#define TMEM_DRIVER_H

#include <linux/types.h>

/* A host was found and greeted: calls can be made. */
bool tmem_driver_started(void);

#endif
