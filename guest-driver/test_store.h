/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A store inside the guest that answers the driver's calls, so that the driver
 * can be raced on several CPUs where no host is. Debug builds only.
 */
#ifndef TMEM_TEST_STORE_H
#define TMEM_TEST_STORE_H

#include <tmem_abi.h>

#include "transport.h"

#ifdef TMEM_DEBUG
/* The module was loaded with test_store=1. */
bool tmem_test_store_on(void);
int tmem_test_store_init(void);
void tmem_test_store_exit(void);
s32 tmem_test_store_call(u32 nr, struct tmem_regs *regs);
#else
static inline bool tmem_test_store_on(void)
{
	return false;
}

static inline int tmem_test_store_init(void)
{
	return 0;
}

static inline void tmem_test_store_exit(void)
{
}

static inline s32 tmem_test_store_call(u32 nr, struct tmem_regs *regs)
{
	return TMEM_STATUS_BAD_CALL;
}
#endif

#endif
