/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Collecting the bios of one task while it holds a plug, as reclaim and
 * readahead do, so that single pages become batches.
 */
#ifndef TMEM_PLUG_H
#define TMEM_PLUG_H

#include "swapdev.h"

/* False: there is no plug to wait for; the caller runs the bio itself. */
bool tmem_plug_collect(struct tmem_swapdev *dev, struct bio *bio);

#endif
