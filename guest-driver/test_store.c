// SPDX-License-Identifier: GPL-2.0-only
/*
 * A store inside the guest that answers the driver's calls.
 *
 * All memory is taken when the module loads, since calls come from reclaim with
 * interrupts off. A hash table of buckets with a lock each: calls of different
 * CPUs run side by side as they do in a host.
 */
#include <linux/hash.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pfn.h>
#include <linux/spinlock.h>

#include "calls.h"
#include "test_store.h"

#define TEST_BUCKET_BITS 12
#define TEST_POOLS 64

static bool tmem_test_store;
module_param_named(test_store, tmem_test_store, bool, 0444);
MODULE_PARM_DESC(test_store,
		 "Answer calls inside the guest (debug builds, default off)");

static unsigned int test_store_pages = 16384;
module_param(test_store_pages, uint, 0444);
MODULE_PARM_DESC(test_store_pages,
		 "Pages that the test store takes when it is loaded (default 16384)");

static unsigned int test_store_limit = UINT_MAX;
module_param(test_store_limit, uint, 0644);
MODULE_PARM_DESC(test_store_limit,
		 "Pages beyond which the test store answers OVER_LIMIT");

static unsigned int test_store_batch_cut;
module_param(test_store_batch_cut, uint, 0644);
MODULE_PARM_DESC(test_store_batch_cut,
		 "Entries after which the test store cuts a batch short (default 0: never)");

struct test_page {
	struct hlist_node node;
	u32 pool;
	u32 index;
	u64 object[3];
	void *data;
};

struct test_bucket {
	raw_spinlock_t lock;
	struct hlist_head pages;
};

static struct test_bucket test_buckets[1 << TEST_BUCKET_BITS];
static struct test_page *test_pages;

/* Pages that hold nothing; the lock is taken inside that of a bucket. */
static DEFINE_RAW_SPINLOCK(test_free_lock);
static HLIST_HEAD(test_free);
static unsigned int test_used;

/* Pool ids start at 1 and are not used again. */
static bool test_pool_alive[TEST_POOLS + 1];
static u32 test_pools;

bool tmem_test_store_on(void)
{
	return tmem_test_store;
}

static struct test_page *test_page_take(void)
{
	struct test_page *page = NULL;

	raw_spin_lock(&test_free_lock);
	if (!hlist_empty(&test_free) && test_used < READ_ONCE(test_store_limit)) {
		page = hlist_entry(test_free.first, struct test_page, node);
		hlist_del(&page->node);
		test_used++;
	}
	raw_spin_unlock(&test_free_lock);
	return page;
}

static void test_page_release(struct test_page *page)
{
	hlist_del(&page->node);
	raw_spin_lock(&test_free_lock);
	hlist_add_head(&page->node, &test_free);
	test_used--;
	raw_spin_unlock(&test_free_lock);
}

static struct test_bucket *test_bucket(const struct tmem_batch_entry *key)
{
	u64 mixed = key->object[0] ^ key->object[1] ^ key->object[2] ^
		    ((u64)key->pool << 32 | key->index);

	return &test_buckets[hash_64(mixed, TEST_BUCKET_BITS)];
}

static struct test_page *test_find(struct test_bucket *bucket,
				   const struct tmem_batch_entry *key)
{
	struct test_page *page;

	hlist_for_each_entry(page, &bucket->pages, node)
		if (page->pool == key->pool && page->index == key->index &&
		    !memcmp(page->object, key->object, sizeof(page->object)))
			return page;
	return NULL;
}

static void *test_frame(u64 frame)
{
	return pfn_valid(frame) ? phys_to_virt(PFN_PHYS(frame)) : NULL;
}

static s32 test_put(struct test_bucket *bucket,
		    const struct tmem_batch_entry *key)
{
	struct test_page *page = test_find(bucket, key);
	void *data = test_frame(key->frame);

	if (page && (!data || test_used > READ_ONCE(test_store_limit))) {
		test_page_release(page);
		page = NULL;
	} else if (!page && data) {
		page = test_page_take();
		if (page) {
			page->pool = key->pool;
			page->index = key->index;
			memcpy(page->object, key->object, sizeof(page->object));
			hlist_add_head(&page->node, &bucket->pages);
		}
	}
	if (!data)
		return TMEM_STATUS_BAD_ADDRESS;
	if (!page)
		return TMEM_STATUS_OVER_LIMIT;
	copy_page(page->data, data);
	return TMEM_STATUS_OK;
}

static s32 test_get(struct test_bucket *bucket,
		    const struct tmem_batch_entry *key)
{
	struct test_page *page = test_find(bucket, key);
	void *data = test_frame(key->frame);

	if (!page)
		return TMEM_STATUS_MISS;
	if (!data)
		return TMEM_STATUS_BAD_ADDRESS;
	copy_page(data, page->data);
	if (key->flags & TMEM_GET_EXCLUSIVE)
		test_page_release(page);
	return TMEM_STATUS_OK;
}

static s32 test_run_one(struct tmem_batch_entry *key)
{
	struct test_bucket *bucket = test_bucket(key);
	struct test_page *page;
	s32 status = TMEM_STATUS_OK;
	unsigned long flags;

	raw_spin_lock_irqsave(&bucket->lock, flags);
	switch (key->call) {
	case TMEM_CALL_PUT:
		status = test_put(bucket, key);
		break;
	case TMEM_CALL_GET:
		status = test_get(bucket, key);
		break;
	default:
		page = test_find(bucket, key);
		if (page)
			test_page_release(page);
	}
	raw_spin_unlock_irqrestore(&bucket->lock, flags);
	return status;
}

static s32 test_run(struct tmem_batch_entry *key)
{
	u64 count;

	if (!key->pool || key->pool > TEST_POOLS || !test_pool_alive[key->pool])
		return TMEM_STATUS_BAD_POOL;
	if (key->call != TMEM_CALL_FLUSH_RANGE)
		return test_run_one(key);
	for (count = key->frame; count; count--, key->index++)
		test_run_one(key);
	return TMEM_STATUS_OK;
}

/* Drops the pages of a pool, or of one object of it. */
static void test_drop(u32 pool, const u64 *object)
{
	struct test_page *page;
	struct hlist_node *next;
	unsigned long flags;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(test_buckets); i++) {
		raw_spin_lock_irqsave(&test_buckets[i].lock, flags);
		hlist_for_each_entry_safe(page, next, &test_buckets[i].pages,
					  node)
			if (page->pool == pool &&
			    (!object || !memcmp(page->object, object,
						sizeof(page->object))))
				test_page_release(page);
		raw_spin_unlock_irqrestore(&test_buckets[i].lock, flags);
	}
}

static s32 test_hello(struct tmem_regs *regs)
{
	u32 pool;

	if (regs->rdi != TMEM_ABI_VERSION)
		return TMEM_STATUS_BAD_VERSION;
	for (pool = 1; pool <= test_pools; pool++) {
		test_pool_alive[pool] = false;
		test_drop(pool, NULL);
	}
	regs->rsi = TMEM_FEATURE_PERSISTENT | TMEM_FEATURE_EPHEMERAL |
		    TMEM_FEATURE_BATCH;
	regs->r8 = TMEM_BATCH_MAX;
	return TMEM_STATUS_OK;
}

static s32 test_pool_new(struct tmem_regs *regs)
{
	if (test_pools == TEST_POOLS)
		return TMEM_STATUS_NO_RESOURCES;
	test_pool_alive[++test_pools] = true;
	regs->rdi = test_pools;
	return TMEM_STATUS_OK;
}

static s32 test_pool_destroy(u64 pool)
{
	if (!pool || pool > TEST_POOLS || !test_pool_alive[pool])
		return TMEM_STATUS_BAD_POOL;
	test_pool_alive[pool] = false;
	test_drop(pool, NULL);
	return TMEM_STATUS_OK;
}

static s32 test_batch(struct tmem_regs *regs)
{
	struct tmem_batch_entry *entries = phys_to_virt(regs->rdi);
	u32 cut = READ_ONCE(test_store_batch_cut);
	u64 i;

	if (regs->rdi % TMEM_BATCH_ENTRY_SIZE || regs->rsi > TMEM_BATCH_MAX)
		return TMEM_STATUS_BAD_ARGUMENT;
	for (i = 0; i < regs->rsi && (!cut || i < cut); i++) {
		struct tmem_batch_entry key = entries[i];

		entries[i].status = test_run(&key);
	}
	regs->rdi = i;
	return TMEM_STATUS_OK;
}

s32 tmem_test_store_call(u32 nr, struct tmem_regs *regs)
{
	struct tmem_batch_entry key = {
		.call = nr,
		.flags = regs->r11,
		.pool = regs->rdi >> 32,
		.index = regs->rdi,
		.object = { regs->r8, regs->r9, regs->r10 },
		.frame = regs->rsi,
	};

	switch (nr) {
	case TMEM_CALL_HELLO:
		return test_hello(regs);
	case TMEM_CALL_POOL_NEW:
		return test_pool_new(regs);
	case TMEM_CALL_POOL_DESTROY:
		return test_pool_destroy(regs->rdi);
	case TMEM_CALL_PUT:
	case TMEM_CALL_GET:
	case TMEM_CALL_FLUSH_RANGE:
		return test_run(&key);
	case TMEM_CALL_FLUSH_OBJECT:
		test_drop(regs->rdi, key.object);
		return TMEM_STATUS_OK;
	case TMEM_CALL_BATCH:
		return test_batch(regs);
	default:
		return TMEM_STATUS_BAD_CALL;
	}
}

void tmem_test_store_exit(void)
{
	u32 i;

	if (!test_pages)
		return;
	for (i = 0; i < test_store_pages; i++)
		free_page((unsigned long)test_pages[i].data);
	kvfree(test_pages);
	test_pages = NULL;
}

int tmem_test_store_init(void)
{
	u32 i;

	if (!tmem_test_store)
		return 0;
	test_pages = kvcalloc(test_store_pages, sizeof(*test_pages),
			      GFP_KERNEL);
	if (!test_pages)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(test_buckets); i++)
		raw_spin_lock_init(&test_buckets[i].lock);
	for (i = 0; i < test_store_pages; i++) {
		test_pages[i].data = (void *)__get_free_page(GFP_KERNEL);
		if (!test_pages[i].data) {
			tmem_test_store_exit();
			return -ENOMEM;
		}
		hlist_add_head(&test_pages[i].node, &test_free);
	}
	return 0;
}
