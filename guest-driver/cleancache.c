// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cleancache front end: a second page cache in the host.
 *
 * A mounted file system is an ephemeral pool, a file an object of it, whose id
 * is the whole file handle. A get is exclusive: the page goes into the page
 * cache, and comes back by a put when it is evicted from there.
 *
 * What keeps a page from being stale is the kernel's: it asks, puts and
 * invalidates with the page locked, and invalidates before it lets new data be
 * the page's. So every invalidate is a call made at once, and a put that is
 * rejected has dropped the older page (the host's promise). Only puts wait, in
 * the buffer of cleancache_buffer.h.
 *
 * Puts and most invalidates come under the lock of the file's page tree with
 * interrupts off; nothing here sleeps but mounting and unmounting.
 */
#include "cleancache.h"

#ifdef TMEM_HAVE_CLEANCACHE
#include <linux/atomic.h>
#include <linux/cleancache.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page-flags.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "batch.h"
#include "cleancache_buffer.h"
#include "counters.h"

/**
 * struct tmem_clean_pool - what the store holds of a mounted file system
 * @id: pool id, also the kernel's: the host never uses an id again, so a call
 *	that comes late, after the unmount, finds no other file system's pages
 * @puts: puts that the store has accepted
 * @empty_at: @puts as it was before the store was asked and said that the pool
 *	is empty; as long as they are equal it need not be asked
 * @distrusted: a put or an invalidate has failed, so an old page may be there
 */
struct tmem_clean_pool {
	u32 id;
	atomic_long_t puts;
	long empty_at;
	bool distrusted;
};

/* By id. Looked up without a lock. */
static DEFINE_XARRAY(tmem_clean_pools);

static struct tmem_area tmem_clean_file(const struct tmem_clean_pool *pool,
					const struct cleancache_filekey *key)
{
	struct tmem_area area = { .pool = pool->id };

	BUILD_BUG_ON(sizeof(*key) != sizeof(area.object));
	memcpy(area.object, key, sizeof(area.object));
	return area;
}

/* A mount, or a file system that was mounted before the driver was loaded. */
static int tmem_clean_init_fs(size_t page_bytes)
{
	struct tmem_clean_pool *pool;
	int id, err;

	if (page_bytes != TMEM_PAGE_SIZE)
		return -EINVAL;
	pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	if (!pool)
		return -ENOMEM;
	id = tmem_pool_new(0);
	if (id < 0) {
		err = id;
		goto free_pool;
	}
	pool->id = id;
	err = xa_insert(&tmem_clean_pools, id, pool, GFP_KERNEL);
	if (err)
		goto drop_pool;
	return id;

drop_pool:
	tmem_pool_destroy(id);
free_pool:
	kfree(pool);
	return err;
}

/*
 * A cluster's file system: another machine changes its files, and what is in a
 * pool of this guest's own would be stale. The host's shared pools are of
 * images that nobody writes, so they are no answer either.
 */
static int tmem_clean_init_shared_fs(uuid_t *uuid, size_t page_bytes)
{
	return -EOPNOTSUPP;
}

/* Process context, the page locked. */
static int tmem_clean_get(struct tmem_clean_pool *pool,
			  const struct cleancache_filekey *key, pgoff_t index,
			  struct page *page)
{
	struct tmem_area file = tmem_clean_file(pool, key);
	s32 status;
	long puts;

	if (index > U32_MAX || READ_ONCE(pool->distrusted))
		goto spare;
	tmem_clean_buffer_send_page(&file, index);
	puts = atomic_long_read(&pool->puts);
	if (READ_ONCE(pool->empty_at) == puts)
		goto spare;
	status = tmem_batch_one(TMEM_CALL_GET, TMEM_GET_EXCLUSIVE, &file, index,
				page_to_pfn(page));
	switch (status) {
	case TMEM_STATUS_OK:
		tmem_count(TMEM_CLEANCACHE_HITS);
		return 0;
	case TMEM_STATUS_EMPTY:
		/* A put accepted since has made the numbers differ. */
		WRITE_ONCE(pool->empty_at, puts);
		fallthrough;
	case TMEM_STATUS_MISS:
		tmem_count(TMEM_CLEANCACHE_MISSES);
		break;
	}
	return -ENOENT;

spare:
	tmem_count(TMEM_CLEANCACHE_GETS_SPARED);
	return -ENOENT;
}

/*
 * A call has failed that would have dropped an older page. The host breaks its
 * promise, so nothing of the pool may be believed any more.
 */
static void tmem_clean_distrust(struct tmem_clean_pool *pool, s32 status)
{
	if (READ_ONCE(pool->distrusted))
		return;
	WRITE_ONCE(pool->distrusted, true);
	pr_err("cleancache: pool %u cannot be invalidated (status %d) and is not used any more\n",
	       pool->id, status);
}

static int tmem_clean_get_page(int id, struct cleancache_filekey key,
			       pgoff_t index, struct page *page)
{
	struct tmem_clean_pool *pool;
	int err = -ENOENT;

	rcu_read_lock();
	pool = xa_load(&tmem_clean_pools, id);
	if (pool)
		err = tmem_clean_get(pool, &key, index, page);
	rcu_read_unlock();
	return err;
}

/* Drops what the store has of a page. */
static void tmem_clean_drop(struct tmem_clean_pool *pool,
			    const struct tmem_area *file, u32 index)
{
	s32 status;

	tmem_clean_buffer_send_page(file, index);
	status = tmem_batch_one(TMEM_CALL_FLUSH_RANGE, 0, file, index, 1);
	if (status != TMEM_STATUS_OK)
		tmem_clean_distrust(pool, status);
}

/*
 * The page leaves the page cache. Whatever the answer, an older copy is gone:
 * where there is no call there never was one that a get may see.
 */
static void tmem_clean_put(struct tmem_clean_pool *pool,
			   const struct cleancache_filekey *key, pgoff_t index,
			   struct page *page)
{
	struct tmem_area file = tmem_clean_file(pool, key);

	/* It would come once for all its pages; see compat/file_hooks.h. */
	VM_BUG_ON_PAGE(PageCompound(page), page);
	if (index > U32_MAX || READ_ONCE(pool->distrusted)) {
		tmem_count(TMEM_CLEANCACHE_DECLINED);
		return;
	}
	/* To copy it would be to read it. */
	if (PageHWPoison(page)) {
		tmem_count(TMEM_CLEANCACHE_DECLINED);
		tmem_clean_drop(pool, &file, index);
		return;
	}
	tmem_count(TMEM_CLEANCACHE_PUTS);
	tmem_clean_buffer_put(&file, index, page);
}

/* The store has answered a put: accepted it, rejected it, or failed. */
static void tmem_clean_put_answered(u32 id, s32 status)
{
	struct tmem_clean_pool *pool;

	rcu_read_lock();
	pool = xa_load(&tmem_clean_pools, id);
	/* After the put: who reads the new number asks after it. */
	if (pool && status == TMEM_STATUS_OK)
		atomic_long_inc(&pool->puts);
	else if (pool && status < 0)
		tmem_clean_distrust(pool, status);
	rcu_read_unlock();
}

/* Under the lock of the file's page tree, interrupts off. */
static void tmem_clean_put_page(int id, struct cleancache_filekey key,
				pgoff_t index, struct page *page)
{
	struct tmem_clean_pool *pool;

	rcu_read_lock();
	pool = xa_load(&tmem_clean_pools, id);
	if (pool)
		tmem_clean_put(pool, &key, index, page);
	rcu_read_unlock();
}

/* Interrupts may be off and the lock of the file's page tree held. */
static void tmem_clean_invalidate_page(int id, struct cleancache_filekey key,
				       pgoff_t index)
{
	struct tmem_clean_pool *pool;
	struct tmem_area file;

	rcu_read_lock();
	pool = xa_load(&tmem_clean_pools, id);
	if (pool && index <= U32_MAX) {
		file = tmem_clean_file(pool, &key);
		tmem_count(TMEM_CLEANCACHE_FLUSHES);
		tmem_clean_drop(pool, &file, index);
	}
	rcu_read_unlock();
}

/* A file is truncated, written past the page cache, or leaves memory. */
static void tmem_clean_invalidate_inode(int id, struct cleancache_filekey key)
{
	struct tmem_clean_pool *pool;
	struct tmem_area file;
	s32 status;

	rcu_read_lock();
	pool = xa_load(&tmem_clean_pools, id);
	if (pool) {
		file = tmem_clean_file(pool, &key);
		status = tmem_clean_buffer_flush_file(&file);
		if (status != TMEM_STATUS_OK)
			tmem_clean_distrust(pool, status);
	}
	rcu_read_unlock();
}

/* An unmount. The kernel has forgotten the id, but for calls under way. */
static void tmem_clean_invalidate_fs(int id)
{
	struct tmem_clean_pool *pool = xa_erase(&tmem_clean_pools, id);

	if (!pool)
		return;
	/* Then nobody uses it, and nothing more of it is put. */
	synchronize_rcu();
	tmem_clean_buffer_send_all();
	tmem_pool_destroy(pool->id);
	kfree(pool);
}

static const struct cleancache_ops tmem_clean_ops = {
	.init_fs = tmem_clean_init_fs,
	.init_shared_fs = tmem_clean_init_shared_fs,
	.get_page = tmem_clean_get_page,
	.put_page = tmem_clean_put_page,
	.invalidate_page = tmem_clean_invalidate_page,
	.invalidate_inode = tmem_clean_invalidate_inode,
	.invalidate_fs = tmem_clean_invalidate_fs,
};

int tmem_cleancache_register(void)
{
	int err = tmem_clean_buffer_init(tmem_clean_put_answered);

	if (err)
		return err;
	err = cleancache_register_ops(&tmem_clean_ops);
	if (err) {
		tmem_clean_buffer_exit();
		return err;
	}
	__module_get(THIS_MODULE);
	pr_info("cleancache: the module cannot be unloaded any more\n");
	return 0;
}
#endif
