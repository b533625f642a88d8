// SPDX-License-Identifier: GPL-2.0-only
/* The streaming filter: what a long run reads once is not put. */
#include <linux/bitops.h>
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>

#include "counters.h"
#include "diskcache_streams.h"

static unsigned int tmem_stream_mib = 32;
module_param_named(stream_mib, tmem_stream_mib, uint, 0644);
MODULE_PARM_DESC(stream_mib,
		 "Of a sequential read, MiB that are put at once; the rest is put when it is read again (default 32, 0: all at once)");

/* What the guest has cached itself is missing in what it reads from the disk. */
#define TMEM_STREAM_GAP 256

/* 128 KiB; about as many pages of 256 MiB are remembered. */
#define TMEM_SEEN_BITS 16

int tmem_streams_init(struct tmem_streams *streams)
{
	streams->seen = kvcalloc(1 << TMEM_SEEN_BITS, sizeof(*streams->seen),
				 GFP_KERNEL);
	return streams->seen ? 0 : -ENOMEM;
}

void tmem_streams_exit(struct tmem_streams *streams)
{
	kvfree(streams->seen);
}

unsigned long tmem_streams_note(struct tmem_streams *streams,
				const struct address_space *file, pgoff_t index,
				u32 pages)
{
	struct tmem_stream *stream =
		&streams->streams[hash_ptr(file, TMEM_STREAM_BITS)];
	pgoff_t next = READ_ONCE(stream->next);
	unsigned long run = 0;

	if (!READ_ONCE(tmem_stream_mib))
		return 0;
	if (READ_ONCE(stream->file) == file && index >= next &&
	    index - next <= TMEM_STREAM_GAP)
		run = READ_ONCE(stream->run);
	run += pages;
	WRITE_ONCE(stream->file, file);
	WRITE_ONCE(stream->next, index + pages);
	WRITE_ONCE(stream->run, run);
	return run;
}

/* Whether the block was remembered; it is afterwards. */
static bool tmem_streams_seen(struct tmem_streams *streams, u64 block)
{
	u64 hash = hash_64(block, 64);
	u16 *seen = &streams->seen[hash >> (64 - TMEM_SEEN_BITS)];
	/* Of the block itself where it can be; zero is an empty place. */
	u16 tag = (hash >> 16 & U16_MAX) | 1;

	if (READ_ONCE(*seen) == tag)
		return true;
	WRITE_ONCE(*seen, tag);
	return false;
}

u64 tmem_streams_admit(struct tmem_streams *streams, unsigned long run,
		       u64 first, u64 pages)
{
	u64 limit = (u64)READ_ONCE(tmem_stream_mib) << (20 - PAGE_SHIFT);
	u64 admitted = 0;

	if (run <= limit || !limit)
		return pages;
	while (pages) {
		u64 page = pages & -pages;

		if (tmem_streams_seen(streams, first + __ffs64(page)))
			admitted |= page;
		else
			tmem_count(TMEM_DISKCACHE_STREAMED);
		pages &= ~page;
	}
	return admitted;
}
