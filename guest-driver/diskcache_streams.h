/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The streaming filter: a long file that is read once, from begin to end, must
 * not push out of the store what is read again and again.
 *
 * Of a sequential run the first stream_mib= are put as anything else. What comes
 * after them is put only when it is read a second time, soon: so a large file
 * that is in use gets in with its second reading.
 */
#ifndef TMEM_DISKCACHE_STREAMS_H
#define TMEM_DISKCACHE_STREAMS_H

#include <linux/fs.h>
#include <linux/types.h>

#define TMEM_STREAM_BITS 6

/**
 * struct tmem_stream - the reader of a file
 * @file: the file; compared only
 * @next: index after what it has read last
 * @run: pages that it has read one after the other
 */
struct tmem_stream {
	const struct address_space *file;
	pgoff_t next;
	unsigned long run;
};

/**
 * struct tmem_streams - the readers of a disk
 * @streams: one for a hash value of the file, so that random reads of one file
 *	do not hide the run through another
 * @seen: tags of blocks that were read in a run and not put, by hash of the
 *	block; a newer one takes the place of an older one
 *
 * Updated without a lock: what is lost to another CPU costs a put too many or
 * too few.
 */
struct tmem_streams {
	struct tmem_stream streams[1 << TMEM_STREAM_BITS];
	u16 *seen;
};

/* Returns 0 or -ENOMEM. */
int tmem_streams_init(struct tmem_streams *streams);
void tmem_streams_exit(struct tmem_streams *streams);

/*
 * @pages of @file from @index on are read. Returns the length in pages of the
 * run that they are part of, or 0 where the filter is off.
 */
unsigned long tmem_streams_note(struct tmem_streams *streams,
				const struct address_space *file, pgoff_t index,
				u32 pages);

/*
 * Which of @pages (a bit each, for blocks from @first on) may be put, being part
 * of a run of that length. Remembers the others.
 */
u64 tmem_streams_admit(struct tmem_streams *streams, unsigned long run,
		       u64 first, u64 pages);

#endif
