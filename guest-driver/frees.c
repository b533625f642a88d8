// SPDX-License-Identifier: GPL-2.0-only
/* Telling the store of freed slots, many in one call. See slots.h for why it is safe. */
#include <linux/bitops.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>

#include "batch.h"
#include "compat/param.h"
#include "counters.h"
#include "frees.h"

#define TMEM_FREE_BATCH_MAX 512
#define TMEM_DRAIN_DELAY_MS 100

static int tmem_set_free_batch(const char *value,
			       const struct kernel_param *param)
{
	return tmem_param_set_uint(value, param, 1, TMEM_FREE_BATCH_MAX);
}

static const struct kernel_param_ops tmem_free_batch_ops = {
	.set = tmem_set_free_batch,
	.get = param_get_uint,
};

unsigned int tmem_free_batch = TMEM_BATCH_MAX;
module_param_cb(free_batch, &tmem_free_batch_ops, &tmem_free_batch, 0644);
MODULE_PARM_DESC(free_batch,
		 "Freed slots that are collected before the host is told (1-512, default 64)");

/* Takes pending slots of a locked word into the batch, as many as fit. */
static u64 tmem_drain_take(struct tmem_batch *batch,
			   const struct tmem_slot_word *word, u32 first_slot)
{
	u64 pending = tmem_word_pending(word);
	u64 taken = 0;

	while (pending && !tmem_batch_full(batch)) {
		u64 bit = pending & -pending;

		tmem_batch_add(batch, first_slot + __ffs64(bit), 1);
		pending &= ~bit;
		taken |= bit;
	}
	return taken;
}

/*
 * Sends one batch of frees and returns how many. Each word they come from stays
 * locked until the flush is done: a put of one of its slots waits, and comes
 * after.
 */
static u32 tmem_drain_one_batch(struct tmem_slots *slots)
{
	/* A word gives a slot at least or is let go at once: never too many. */
	struct tmem_drain_word *held = slots->drain_held;
	u32 nr_words = tmem_slots_words(slots);
	u32 nr_held = 0;
	struct tmem_batch batch;
	u32 i = slots->drain_cursor;

	tmem_batch_begin(&batch, TMEM_CALL_FLUSH_RANGE, 0, &slots->area);
	for_each_set_bit_from(i, slots->pending_words, nr_words) {
		struct tmem_slot_word *word = &slots->words[i];
		u64 taken;

		if (tmem_batch_full(&batch))
			break;
		raw_spin_lock_nest_lock(&word->lock, &slots->drain_lock);
		taken = tmem_drain_take(&batch, word, i * TMEM_SLOTS_PER_WORD);
		/* Under the lock: who marks a slot sets the bit after it. */
		if (taken == tmem_word_pending(word))
			clear_bit(i, slots->pending_words);
		if (taken)
			held[nr_held++] = (struct tmem_drain_word) {
				word, taken
			};
		else
			raw_spin_unlock(&word->lock);
	}
	/* Words behind the cursor wait for the next turn. */
	slots->drain_cursor = i < nr_words ? i : 0;

	tmem_batch_issue(&batch);

	for (i = 0; i < nr_held; i++) {
		held[i].word->low &= ~held[i].taken;
		held[i].word->high &= ~held[i].taken;
		raw_spin_unlock(&held[i].word->lock);
	}
	atomic_sub(batch.count, &slots->pending);
	tmem_batch_end(&batch);
	return batch.count;
}

/*
 * Two rounds over the words see all that was pending before. No more than that:
 * since 6.13 other CPUs free slots meanwhile, and interrupts are off.
 */
static void tmem_drain_locked(struct tmem_slots *slots)
{
	int left = atomic_read(&slots->pending);
	u32 wraps = 0;

	while (wraps < 2 && left > 0) {
		left -= tmem_drain_one_batch(slots);
		if (!slots->drain_cursor)
			wraps++;
	}
}

void tmem_frees_drain(struct tmem_slots *slots)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&slots->drain_lock, flags);
	tmem_drain_locked(slots);
	raw_spin_unlock_irqrestore(&slots->drain_lock, flags);
}

void tmem_slots_drop_all(struct tmem_slots *slots)
{
	unsigned long flags;
	u32 i;

	/* No drain may be between its look at a word and its flush. */
	raw_spin_lock_irqsave(&slots->drain_lock, flags);
	for (i = 0; i < tmem_slots_words(slots); i++) {
		struct tmem_slot_word *word = &slots->words[i];

		raw_spin_lock(&word->lock);
		atomic_sub(hweight64(tmem_word_pending(word)),
			   &slots->pending);
		word->low = 0;
		word->high = 0;
		word->refused = 0;
		raw_spin_unlock(&word->lock);
	}
	tmem_flush_object(&slots->area);
	raw_spin_unlock_irqrestore(&slots->drain_lock, flags);
}

static void tmem_drain_later(struct work_struct *work)
{
	struct tmem_slots *slots = container_of(to_delayed_work(work),
						struct tmem_slots, drain_work);

	tmem_frees_drain(slots);
	if (atomic_read(&slots->pending) > 0)
		schedule_delayed_work(&slots->drain_work,
				      msecs_to_jiffies(TMEM_DRAIN_DELAY_MS));
}

void tmem_frees_marked(struct tmem_slots *slots, u32 word, int pending)
{
	unsigned long flags;

	set_bit(word, slots->pending_words);
	if (pending == 1)
		schedule_delayed_work(&slots->drain_work,
				      msecs_to_jiffies(TMEM_DRAIN_DELAY_MS));
	if (pending < READ_ONCE(tmem_free_batch))
		return;
	/* Who meets a drain need not wait for it. */
	if (!raw_spin_trylock_irqsave(&slots->drain_lock, flags))
		return;
	tmem_drain_locked(slots);
	raw_spin_unlock_irqrestore(&slots->drain_lock, flags);
}

void tmem_frees_init(struct tmem_slots *slots)
{
	raw_spin_lock_init(&slots->drain_lock);
	INIT_DELAYED_WORK(&slots->drain_work, tmem_drain_later);
}

void tmem_frees_exit(struct tmem_slots *slots)
{
	cancel_delayed_work_sync(&slots->drain_work);
	tmem_frees_drain(slots);
}
