// SPDX-License-Identifier: GPL-2.0-only
/* Reading and writing a page without a bio; kernels before 6.3. */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "../batch.h"
#include "../counters.h"
#include "../swapdev.h"
#include "disk.h"

#ifdef TMEM_HAVE_RW_PAGE

static int tmem_page_write(struct tmem_swapdev *dev, u32 slot,
			   struct page *page)
{
	struct tmem_slots *slots = &dev->slots;
	s32 status;

	/* The kernel sends a bio now, with which it is counted. */
	if (tmem_swapdev_backs_off(dev, slot))
		return -EIO;
	switch (tmem_slot_begin_write(slots, slot)) {
	case TMEM_WRITE_OVERLAPS:
		return -EBUSY;
	case TMEM_WRITE_REFUSED:
		tmem_slot_end_write_refused(slots, slot);
		return -EIO;
	case TMEM_WRITE_PUT:
		break;
	}
	status = tmem_batch_one(TMEM_CALL_PUT, 0, &slots->area, slot,
				page_to_pfn(page));
	tmem_backoff_note(&dev->backoff, status);
	if (status == TMEM_STATUS_OK) {
		tmem_slot_end_write(slots, slot, TMEM_SLOT_STORED);
		return 0;
	}
	/* The kernel sends a bio now; it need not pay for a second call. */
	tmem_slot_end_write_refused(slots, slot);
	return -EIO;
}

static int tmem_page_read(struct tmem_slots *slots, u32 slot, struct page *page)
{
	switch (tmem_slot_state(slots, slot)) {
	case TMEM_SLOT_STORED:
		if (tmem_batch_one(TMEM_CALL_GET, 0, &slots->area, slot,
				   page_to_pfn(page)) != TMEM_STATUS_OK)
			/* The bio will fail too, and says so. */
			return -EIO;
		return 0;
	case TMEM_SLOT_ON_DISK:
		return -EAGAIN;
	case TMEM_SLOT_EMPTY:
	case TMEM_SLOT_FREE_PENDING:
		break;
	}
	tmem_count(TMEM_EMPTY_READS);
	clear_highpage(page);
	return 0;
}

int tmem_rw_page(struct tmem_swapdev *dev, sector_t sector, struct page *page,
		 bool write)
{
	u32 slot = sector / TMEM_SECTORS_PER_PAGE;
	int err;

	/* Comes once for all its pages. */
	if (PageCompound(page) || sector % TMEM_SECTORS_PER_PAGE)
		return -ENOTSUPP;
	/* Nobody has looked whether the device is as large, as with a bio. */
	if (sector / TMEM_SECTORS_PER_PAGE >= dev->slots.count)
		return -EIO;
	err = write ? tmem_page_write(dev, slot, page) :
		      tmem_page_read(&dev->slots, slot, page);
	if (!err)
		page_endio(page, write, 0);
	return err;
}

#endif
