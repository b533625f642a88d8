/* SPDX-License-Identifier: GPL-2.0-only */
/* Telling the store of freed slots, many in one call. See slots.h for why it is safe. */
#ifndef TMEM_FREES_H
#define TMEM_FREES_H

#include "slots.h"

void tmem_frees_init(struct tmem_slots *slots);

/* Sends what is pending; nothing may be freed any more. */
void tmem_frees_exit(struct tmem_slots *slots);

/*
 * A slot of word @word was marked FREE_PENDING, as number @pending. Any
 * context, no lock of a word held. Drains when enough are marked, or sees to it
 * that a drain comes a little later.
 */
void tmem_frees_marked(struct tmem_slots *slots, u32 word, int pending);

/* Sends all frees that are pending now. */
void tmem_frees_drain(struct tmem_slots *slots);

/* Slots that may be pending before they are sent (module parameter). */
extern unsigned int tmem_free_batch;

#endif
