// SPDX-License-Identifier: GPL-2.0-only
/* Evicted pages of files on their way to the store, many in one call. */
#include "cleancache_buffer.h"

#include "compat/file_hooks.h"

#ifdef TMEM_HAVE_CLEANCACHE
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "batch.h"
#include "compat/param.h"

#define TMEM_CLEAN_BATCH_MAX 32
/* As many as CPUs, and no more than this: each takes 128 KiB. */
#define TMEM_CLEAN_BUFFERS_MAX 8U
#define TMEM_CLEAN_DELAY_MS 100

/**
 * struct tmem_clean_copy - a page that was put and that the store has not seen
 * @file: its file
 * @index: its index there
 * @page: what it holds; the buffer's own
 */
struct tmem_clean_copy {
	struct tmem_area file;
	u32 index;
	struct page *page;
};

/**
 * struct tmem_clean_buffer - the pages of some files, in the order of their puts
 * @lock: also held while they are sent. Taken under the lock of a file's page
 *	tree
 * @count: how many there are. 0 may be read without the lock: it is written
 *	after the store has them
 * @copies: they
 *
 * All pages of a file are in one buffer, so there is one to look at. Its puts
 * come under one lock of the kernel's anyway.
 */
struct tmem_clean_buffer {
	raw_spinlock_t lock;
	u32 count;
	struct tmem_clean_copy copies[TMEM_CLEAN_BATCH_MAX];
} ____cacheline_aligned_in_smp;

static struct tmem_clean_buffer *tmem_clean_buffers __read_mostly;
static u32 tmem_clean_buffers_nr __read_mostly;
static void (*tmem_clean_answered)(u32 pool, s32 status) __read_mostly;

static int tmem_set_clean_batch(const char *value,
				const struct kernel_param *param)
{
	return tmem_param_set_uint(value, param, 1, TMEM_CLEAN_BATCH_MAX);
}

static const struct kernel_param_ops tmem_clean_batch_ops = {
	.set = tmem_set_clean_batch,
	.get = param_get_uint,
};

static unsigned int tmem_clean_batch = TMEM_CLEAN_BATCH_MAX;
module_param_cb(cleancache_batch, &tmem_clean_batch_ops, &tmem_clean_batch,
		0644);
MODULE_PARM_DESC(cleancache_batch,
		 "Evicted pages of files that are collected before the host is given them (1-32, default 32)");

static struct tmem_clean_buffer *tmem_clean_buffer_of(const struct tmem_area *file)
{
	u32 hash = jhash(file->object, sizeof(file->object), file->pool);

	return &tmem_clean_buffers[reciprocal_scale(hash,
						    tmem_clean_buffers_nr)];
}

static bool tmem_clean_same_file(const struct tmem_area *a,
				 const struct tmem_area *b)
{
	return a->pool == b->pool &&
	       !memcmp(a->object, b->object, sizeof(a->object));
}

/* Sends from copy @first on as many as one batch takes; returns the next. */
static u32 tmem_clean_send_batch(struct tmem_clean_buffer *buffer, u32 first)
{
	struct tmem_clean_copy *copies = buffer->copies + first;
	struct tmem_batch batch;
	u32 i;

	tmem_batch_begin(&batch, TMEM_CALL_PUT, 0, NULL);
	for (i = 0; first + i < buffer->count && !tmem_batch_full(&batch); i++) {
		batch.area = &copies[i].file;
		tmem_batch_add(&batch, copies[i].index,
			       page_to_pfn(copies[i].page));
	}
	tmem_batch_issue(&batch);
	for (i = 0; i < batch.count; i++)
		tmem_clean_answered(copies[i].file.pool,
				    tmem_batch_status(&batch, i));
	tmem_batch_end(&batch);
	return first + batch.count;
}

/* The buffer is locked. */
static void tmem_clean_send(struct tmem_clean_buffer *buffer)
{
	u32 next = 0;

	while (next < buffer->count)
		next = tmem_clean_send_batch(buffer, next);
	/* Who reads 0 finds the pages in the store, and what it answered. */
	smp_store_release(&buffer->count, 0);
}

/* Whether a locked buffer has a page of the file, at @index or, for NULL, any. */
static bool tmem_clean_has(const struct tmem_clean_buffer *buffer,
			   const struct tmem_area *file, const u32 *index)
{
	u32 i;

	for (i = 0; i < buffer->count; i++) {
		const struct tmem_clean_copy *copy = &buffer->copies[i];

		if ((!index || copy->index == *index) &&
		    tmem_clean_same_file(&copy->file, file))
			return true;
	}
	return false;
}

void tmem_clean_buffer_send_all(void)
{
	unsigned long flags;
	u32 i;

	for (i = 0; i < tmem_clean_buffers_nr; i++) {
		struct tmem_clean_buffer *buffer = &tmem_clean_buffers[i];

		raw_spin_lock_irqsave(&buffer->lock, flags);
		tmem_clean_send(buffer);
		raw_spin_unlock_irqrestore(&buffer->lock, flags);
	}
}

/* So that the host's view of the guest is not old where little is evicted. */
static void tmem_clean_send_later(struct work_struct *work)
{
	tmem_clean_buffer_send_all();
}

static DECLARE_DELAYED_WORK(tmem_clean_send_work, tmem_clean_send_later);

void tmem_clean_buffer_put(const struct tmem_area *file, u32 index,
			   struct page *page)
{
	struct tmem_clean_buffer *buffer = tmem_clean_buffer_of(file);
	struct tmem_clean_copy *copy;
	unsigned long flags;
	bool waits;

	raw_spin_lock_irqsave(&buffer->lock, flags);
	copy = &buffer->copies[buffer->count];
	copy->file = *file;
	copy->index = index;
	copy_highpage(copy->page, page);
	WRITE_ONCE(buffer->count, buffer->count + 1);
	/* The parameter may have changed. The next put finds a free copy. */
	if (buffer->count >= READ_ONCE(tmem_clean_batch))
		tmem_clean_send(buffer);
	waits = buffer->count == 1;
	raw_spin_unlock_irqrestore(&buffer->lock, flags);
	if (waits)
		schedule_delayed_work(&tmem_clean_send_work,
				      msecs_to_jiffies(TMEM_CLEAN_DELAY_MS));
}

void tmem_clean_buffer_send_page(const struct tmem_area *file, u32 index)
{
	struct tmem_clean_buffer *buffer = tmem_clean_buffer_of(file);
	unsigned long flags;

	/*
	 * The kernel ends a put of a page before it asks for that page or
	 * invalidates it, and the caller has seen what the kernel did after
	 * that put: then it sees the count, too.
	 */
	smp_rmb();
	if (!smp_load_acquire(&buffer->count))
		return;
	raw_spin_lock_irqsave(&buffer->lock, flags);
	if (tmem_clean_has(buffer, file, &index))
		tmem_clean_send(buffer);
	raw_spin_unlock_irqrestore(&buffer->lock, flags);
}

s32 tmem_clean_buffer_flush_file(const struct tmem_area *file)
{
	struct tmem_clean_buffer *buffer = tmem_clean_buffer_of(file);
	unsigned long flags;
	s32 status;

	/* The kernel holds no page here: only this lock keeps puts out. */
	raw_spin_lock_irqsave(&buffer->lock, flags);
	if (tmem_clean_has(buffer, file, NULL))
		tmem_clean_send(buffer);
	status = tmem_flush_object(file);
	raw_spin_unlock_irqrestore(&buffer->lock, flags);
	return status;
}

void tmem_clean_buffer_exit(void)
{
	u32 i, j;

	cancel_delayed_work_sync(&tmem_clean_send_work);
	for (i = 0; i < tmem_clean_buffers_nr; i++)
		for (j = 0; j < TMEM_CLEAN_BATCH_MAX; j++)
			if (tmem_clean_buffers[i].copies[j].page)
				__free_page(tmem_clean_buffers[i].copies[j].page);
	kvfree(tmem_clean_buffers);
	tmem_clean_buffers = NULL;
	tmem_clean_buffers_nr = 0;
}

int tmem_clean_buffer_init(void (*answered)(u32 pool, s32 status))
{
	u32 nr = min(num_possible_cpus(), TMEM_CLEAN_BUFFERS_MAX);
	u32 i, j;

	tmem_clean_buffers = kvcalloc(nr, sizeof(*tmem_clean_buffers),
				      GFP_KERNEL);
	if (!tmem_clean_buffers)
		return -ENOMEM;
	tmem_clean_buffers_nr = nr;
	tmem_clean_answered = answered;
	for (i = 0; i < nr; i++) {
		raw_spin_lock_init(&tmem_clean_buffers[i].lock);
		for (j = 0; j < TMEM_CLEAN_BATCH_MAX; j++) {
			struct page *page = alloc_page(GFP_KERNEL);

			if (!page) {
				tmem_clean_buffer_exit();
				return -ENOMEM;
			}
			tmem_clean_buffers[i].copies[j].page = page;
		}
	}
	return 0;
}
#endif
