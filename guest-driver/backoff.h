/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sparing calls to a store that is full.
 *
 * Without a backing disk a refused page stays in the guest, and reclaim offers
 * it again as soon as it comes by: thousands of calls a second that all fail.
 * After some refusals in a row the driver refuses pages itself for a moment.
 * The store is asked again after it, so room that the host makes is found.
 */
#ifndef TMEM_BACKOFF_H
#define TMEM_BACKOFF_H

#include <linux/types.h>

/**
 * struct tmem_backoff - how the store answered last
 * @refused: refusals in a row, for want of room
 * @until: time in jiffies up to which pages are refused without a call
 *
 * Updated without a lock: an update lost to another CPU costs a call.
 */
struct tmem_backoff {
	u32 refused;
	unsigned long until;
};

/* Whether to refuse a page without asking. */
bool tmem_backoff_active(const struct tmem_backoff *backoff);

/* The store has answered a put. */
void tmem_backoff_note(struct tmem_backoff *backoff, s32 status);

#endif
