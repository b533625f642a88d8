/* SPDX-License-Identifier: GPL-2.0-only */
/* The disk for pages that the host refuses: page n of it backs slot n. */
#ifndef TMEM_BACKING_H
#define TMEM_BACKING_H

#include "swapdev.h"

/* Opens the block device @path for the driver alone; an ERR_PTR if it cannot. */
struct tmem_backing *tmem_backing_open(const char *path,
				       struct tmem_swapdev *dev);

/* All bios have ended. NULL is fine. */
void tmem_backing_close(struct tmem_backing *backing);

u64 tmem_backing_bytes(const struct tmem_backing *backing);

/* The disk has a part in this bio: refused pages of a write, or pages to read. */
bool tmem_backing_has_part(struct tmem_backing *backing, struct bio *bio);

/* Leaves a bio to the worker, which does that part and ends it. Any context. */
void tmem_backing_queue(struct tmem_backing *backing, struct bio *bio);

/* Sends on a read all of whose pages are on the disk. From submit_bio only. */
void tmem_backing_read_whole(struct tmem_backing *backing, struct bio *bio);

#endif
