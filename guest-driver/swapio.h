/* SPDX-License-Identifier: GPL-2.0-only */
/* Running the bios of the swap device against the store. */
#ifndef TMEM_SWAPIO_H
#define TMEM_SWAPIO_H

#include "swapdev.h"

/*
 * Runs and ends a list of bios, as few calls as can be: puts and gets next to
 * each other share a batch, whichever bio they are of. Makes hypercalls only;
 * what the disk must do is left to its worker. Any context.
 */
void tmem_swapio_run(struct tmem_swapdev *dev, struct bio_list *bios);

void tmem_swapio_run_one(struct tmem_swapdev *dev, struct bio *bio);

#endif
