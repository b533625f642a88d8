/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The free queue that loses data, for the test that must find it: a slot goes
 * into a queue when it is freed, whatever is written to it until the queue is
 * sent. Debug builds only.
 */
#ifndef TMEM_NAIVE_FREES_H
#define TMEM_NAIVE_FREES_H

#include "calls.h"

#ifdef TMEM_DEBUG
bool tmem_naive_frees_on(void);
void tmem_naive_free(const struct tmem_area *area, u32 slot);
#else
static inline bool tmem_naive_frees_on(void)
{
	return false;
}

static inline void tmem_naive_free(const struct tmem_area *area, u32 slot)
{
}
#endif

#endif
