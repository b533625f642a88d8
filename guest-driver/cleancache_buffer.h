/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Evicted pages of files on their way to the store, many in one call.
 *
 * The kernel frees a page once it has put it, so the page is copied here first:
 * a copy is a small part of a call (docs/bench.md).
 *
 * Whoever asks the store for a page or drops pages there sends what the buffer
 * has of them first, and then makes its own call. So the store sees puts, gets
 * and invalidates of one page in the kernel's order, and nothing here has to
 * know what they mean.
 */
#ifndef TMEM_CLEANCACHE_BUFFER_H
#define TMEM_CLEANCACHE_BUFFER_H

#include "calls.h"

struct page;

/*
 * @answered is told how the store answered the put of a page of @pool. It is
 * called under the buffer's lock: it must not sleep, nor put.
 */
int tmem_clean_buffer_init(void (*answered)(u32 pool, s32 status));
/* Nothing was put yet. */
void tmem_clean_buffer_exit(void);

/* Puts a page, now or a little later. Any context; the kernel holds the page. */
void tmem_clean_buffer_put(const struct tmem_area *file, u32 index,
			   struct page *page);

/* Afterwards the store has seen what was put of this page. */
void tmem_clean_buffer_send_page(const struct tmem_area *file, u32 index);
/* The same of every page. */
void tmem_clean_buffer_send_all(void);

/* A FLUSH_OBJECT of all pages that were put of the file; no put comes between. */
s32 tmem_clean_buffer_flush_file(const struct tmem_area *file);

#endif
