// SPDX-License-Identifier: GPL-2.0-only
/* Running the bios of the swap device against the store. */
#include <linux/highmem.h>
#include <linux/mm.h>

#include "backing.h"
#include "batch.h"
#include "counters.h"
#include "swapio.h"

/* A page of a list of bios. */
struct tmem_cursor {
	struct bio *bio;
	struct bvec_iter iter;
};

static struct tmem_cursor tmem_cursor_at(struct bio *bio)
{
	struct tmem_cursor at = { .bio = bio };

	if (bio)
		at.iter = bio->bi_iter;
	return at;
}

static void tmem_cursor_next(struct tmem_cursor *at)
{
	bio_advance_iter(at->bio, &at->iter, PAGE_SIZE);
	if (!at->iter.bi_size)
		*at = tmem_cursor_at(at->bio->bi_next);
}

static bool tmem_cursor_same(const struct tmem_cursor *a,
			     const struct tmem_cursor *b)
{
	return a->bio == b->bio && a->iter.bi_sector == b->iter.bi_sector;
}

static u32 tmem_cursor_slot(const struct tmem_cursor *at)
{
	return at->iter.bi_sector / TMEM_SECTORS_PER_PAGE;
}

static struct page *tmem_cursor_page(const struct tmem_cursor *at)
{
	return bio_iter_page(at->bio, at->iter);
}

static u32 tmem_cursor_call(const struct tmem_cursor *at)
{
	return bio_op(at->bio) == REQ_OP_WRITE ? TMEM_CALL_PUT : TMEM_CALL_GET;
}

static bool tmem_begin_write(struct tmem_swapdev *dev, struct bio *bio,
			     u32 slot)
{
	bool backs_off = tmem_swapdev_backs_off(dev, slot);

	switch (tmem_slot_begin_write(&dev->slots, slot)) {
	case TMEM_WRITE_PUT:
		/* Looked at again: another write of the slot may have ended. */
		if (!backs_off ||
		    tmem_slot_state(&dev->slots, slot) != TMEM_SLOT_EMPTY)
			return true;
		tmem_count(TMEM_PUTS_BACKED_OFF);
		tmem_slot_end_write(&dev->slots, slot, TMEM_SLOT_EMPTY);
		bio->bi_status = BLK_STS_IOERR;
		return false;
	case TMEM_WRITE_REFUSED:
		tmem_count(TMEM_RETRIES_SPARED);
		if (!dev->backing) {
			tmem_slot_end_write(&dev->slots, slot, TMEM_SLOT_EMPTY);
			bio->bi_status = BLK_STS_IOERR;
		}
		return false;
	case TMEM_WRITE_OVERLAPS:
		bio->bi_status = BLK_STS_IOERR;
		return false;
	}
	return false;
}

static void tmem_end_write(struct tmem_swapdev *dev, struct bio *bio, u32 slot,
			   s32 status)
{
	tmem_backoff_note(&dev->backoff, status);
	if (status == TMEM_STATUS_OK) {
		tmem_slot_end_write(&dev->slots, slot, TMEM_SLOT_STORED);
	} else if (dev->backing) {
		tmem_slot_set_refused(&dev->slots, slot);
	} else {
		tmem_slot_end_write(&dev->slots, slot, TMEM_SLOT_EMPTY);
		bio->bi_status = BLK_STS_IOERR;
	}
}

static bool tmem_begin_read(struct tmem_swapdev *dev, u32 slot,
			    struct page *page)
{
	switch (tmem_slot_state(&dev->slots, slot)) {
	case TMEM_SLOT_STORED:
		return true;
	case TMEM_SLOT_ON_DISK:
		return false;
	case TMEM_SLOT_EMPTY:
	case TMEM_SLOT_FREE_PENDING:
		tmem_count(TMEM_EMPTY_READS);
		clear_highpage(page);
		return false;
	}
	return false;
}

/*
 * The store has the only copy. Whatever it answers but OK is an error; it never
 * means that the page might be on the disk.
 */
static bool tmem_end_read(struct tmem_swapdev *dev, u32 slot, s32 status)
{
	if (status == TMEM_STATUS_OK)
		return true;
	pr_err_ratelimited("page %u of the swap device is lost: status %d\n",
			   slot, status);
	return false;
}

/* Begins the page; true if it is in the batch now, false if it needs no call. */
static bool tmem_begin_page(struct tmem_swapdev *dev, struct tmem_batch *batch,
			    const struct tmem_cursor *at)
{
	struct page *page = tmem_cursor_page(at);
	u32 slot = tmem_cursor_slot(at);

	if (batch->call == TMEM_CALL_PUT) {
		if (!tmem_begin_write(dev, at->bio, slot))
			return false;
	} else if (!tmem_begin_read(dev, slot, page)) {
		return false;
	}
	tmem_batch_add(batch, slot, page_to_pfn(page));
	return true;
}

static void tmem_end_page(struct tmem_swapdev *dev, u32 call,
			  const struct tmem_cursor *at, s32 status)
{
	if (call == TMEM_CALL_PUT)
		tmem_end_write(dev, at->bio, tmem_cursor_slot(at), status);
	else if (!tmem_end_read(dev, tmem_cursor_slot(at), status))
		at->bio->bi_status = BLK_STS_IOERR;
}

/*
 * Runs the pages from @at on that fit into one batch and are of one kind, and
 * moves @at behind them. The pages are walked twice; @called remembers over the
 * call which of them are in the batch.
 */
static void tmem_run_batch(struct tmem_swapdev *dev, struct tmem_cursor *at)
{
	struct tmem_cursor first = *at;
	struct tmem_batch batch;
	u64 called = 0;
	u32 walked = 0;
	u32 entry = 0;

	tmem_batch_begin(&batch, tmem_cursor_call(at), 0, &dev->slots.area);
	while (at->bio && tmem_cursor_call(at) == batch.call &&
	       walked < BITS_PER_TYPE(called) && !tmem_batch_full(&batch)) {
		if (tmem_begin_page(dev, &batch, at))
			called |= BIT_ULL(walked);
		walked++;
		tmem_cursor_next(at);
	}
	tmem_batch_issue(&batch);
	for (walked = 0; !tmem_cursor_same(&first, at); walked++) {
		if (called & BIT_ULL(walked))
			tmem_end_page(dev, batch.call, &first,
				      tmem_batch_status(&batch, entry++));
		tmem_cursor_next(&first);
	}
	tmem_batch_end(&batch);
}

void tmem_swapio_run(struct tmem_swapdev *dev, struct bio_list *bios)
{
	struct tmem_cursor at = tmem_cursor_at(bio_list_peek(bios));
	struct bio *bio;

	while (at.bio)
		tmem_run_batch(dev, &at);
	while ((bio = bio_list_pop(bios))) {
		if (dev->backing && tmem_backing_has_part(dev->backing, bio))
			tmem_backing_queue(dev->backing, bio);
		else
			bio_endio(bio);
	}
}

void tmem_swapio_run_one(struct tmem_swapdev *dev, struct bio *bio)
{
	struct bio_list bios = BIO_EMPTY_LIST;

	bio_list_add(&bios, bio);
	tmem_swapio_run(dev, &bios);
}
