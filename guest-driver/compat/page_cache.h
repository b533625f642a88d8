/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a page of a bio is one of a page cache that is being read; folios
 * came in 5.16.
 */
#ifndef TMEM_COMPAT_PAGE_CACHE_H
#define TMEM_COMPAT_PAGE_CACHE_H

#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/version.h>

/*
 * Not where it is no page of a file, or not locked, or uptodate: somebody may
 * change such a page while it is copied.
 */
static inline bool tmem_page_is_being_read(struct page *page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 16, 0)
	struct folio *folio = page_folio(page);

	return !folio_test_slab(folio) && !folio_test_swapcache(folio) &&
	       folio_test_locked(folio) && !folio_test_uptodate(folio) &&
	       folio_mapping(folio);
#else
	return !PageSlab(compound_head(page)) && !PageSwapCache(page) &&
	       PageLocked(page) && !PageUptodate(page) && page_mapping(page);
#endif
}

#endif
