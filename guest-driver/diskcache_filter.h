/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scan filter: what is read once must not push out of the store what is
 * read again and again.
 *
 * While the store has room, all is put. Once pages make way there, a page is put
 * only when it is read a second time: the first time it is remembered. So a
 * backup that reads more than the cache holds leaves it as it was.
 *
 * The host does not tell when pages make way, and a scan asks for nothing twice.
 * So there are probes: of each so many pages put one is noted, and for so many
 * noted the oldest is asked for. Only pages that were not used since are good
 * for it, as the store lets those go first. A probe comes for each 256 pages
 * put, or for a 32nd of what the store holds where that is more, and a few times
 * that has made way before one sees it.
 *
 * After the filter has refused so many pages it looks again: the host may have
 * given room meanwhile, or have taken it for a moment only.
 */
#ifndef TMEM_DISKCACHE_FILTER_H
#define TMEM_DISKCACHE_FILTER_H

#include <linux/spinlock.h>
#include <linux/types.h>

/* Four times what the store holds, and more where it grows. */
#define TMEM_FILTER_SAMPLES 4096

/**
 * struct tmem_filter - the filter of a disk
 * @lock: guards all up to @closed; innermost, taken with interrupts off
 * @first: place of the oldest sample
 * @count: samples there are
 * @unsampled: pages put since the last sample
 * @unprobed: samples since the last probe
 * @samples: blocks, in the order in which they were put
 * @closed: pages have made way: only those are put that are read again
 * @refused: pages refused since it was closed
 * @seen: tags of blocks that were refused, by hash of the block; a newer one
 *	takes the place of an older one. No lock: what is lost costs a put too
 *	many or too few
 * @seen_bits: log2 of their number
 */
struct tmem_filter {
	raw_spinlock_t lock;
	u32 first;
	u32 count;
	u32 unsampled;
	u32 unprobed;
	u64 samples[TMEM_FILTER_SAMPLES];
	bool closed;
	u32 refused;
	u8 *seen;
	u32 seen_bits;
};

/* For a disk of so many blocks. Returns 0 or -ENOMEM. */
int tmem_filter_init(struct tmem_filter *filter, u64 blocks);
void tmem_filter_exit(struct tmem_filter *filter);

/*
 * Which of @pages (a bit each, for blocks from @first on) may be put. Remembers
 * the others.
 */
u64 tmem_filter_admit(struct tmem_filter *filter, u64 first, u64 pages);

/* So many pages from this block on are in the store now, which holds @held. */
void tmem_filter_stored(struct tmem_filter *filter, u64 block, u32 pages,
			u64 held);

/* It is time for a probe. */
bool tmem_filter_probe_due(const struct tmem_filter *filter);

/* Takes the oldest sample; false where there is none, and the probe is over. */
bool tmem_filter_sample(struct tmem_filter *filter, u64 *block);

/* The sample before which there are @i older ones; false where there is none. */
bool tmem_filter_peek(struct tmem_filter *filter, u32 i, u64 *block);

/* The pages of so many of the oldest samples are gone. */
void tmem_filter_forget(struct tmem_filter *filter, u32 count);

/* A page that was put is there or not; or there is none to ask for, which is as good. */
void tmem_filter_probed(struct tmem_filter *filter, bool there);

/* The store holds nothing: it has room. */
void tmem_filter_open(struct tmem_filter *filter);

#endif
