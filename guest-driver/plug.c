// SPDX-License-Identifier: GPL-2.0-only
/* Collecting the bios of one task while it holds a plug. */
#include <linux/blkdev.h>
#include <linux/slab.h>

#include "counters.h"
#include "plug.h"
#include "swapio.h"

struct tmem_plug {
	struct blk_plug_cb cb;
	struct bio_list bios;
	u32 pages;
};

static void tmem_plug_run(struct tmem_plug *plug)
{
	struct bio_list bios = plug->bios;

	/* Ending a bio may bring another one to this very plug. */
	bio_list_init(&plug->bios);
	plug->pages = 0;
	tmem_swapio_run(plug->cb.data, &bios);
}

/* May be called from schedule(): hypercalls only, no disk, no memory. */
static void tmem_unplug(struct blk_plug_cb *cb, bool from_schedule)
{
	struct tmem_plug *plug = container_of(cb, struct tmem_plug, cb);

	tmem_plug_run(plug);
	kfree(plug);
}

bool tmem_plug_collect(struct tmem_swapdev *dev, struct bio *bio)
{
	struct tmem_plug *plug;
	struct blk_plug_cb *cb;

	/*
	 * The kernel allocates the callback of the first bio, without waiting;
	 * where that fails there is none, and the bio is run at once.
	 */
	cb = blk_check_plugged(tmem_unplug, dev, sizeof(*plug));
	if (!cb)
		return false;
	plug = container_of(cb, struct tmem_plug, cb);
	/* A new one is zeroed, and zeroed is an empty list. */
	bio_list_add(&plug->bios, bio);
	plug->pages += tmem_bio_pages(bio);
	tmem_count(TMEM_BIOS_COLLECTED);
	if (plug->pages >= TMEM_BATCH_MAX)
		tmem_plug_run(plug);
	return true;
}
