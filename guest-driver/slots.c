// SPDX-License-Identifier: GPL-2.0-only
/* Where the page of each slot of a swap area is. */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/mm.h>

#include "counters.h"
#include "frees.h"
#include "naive_frees.h"
#include "slots.h"

int tmem_slots_init(struct tmem_slots *slots, const struct tmem_area *area,
		    u32 count)
{
	u32 i;

	slots->area = *area;
	slots->count = count;
	slots->words = kvcalloc(tmem_slots_words(slots), sizeof(*slots->words),
				GFP_KERNEL);
	slots->pending_words = kvcalloc(BITS_TO_LONGS(tmem_slots_words(slots)),
					sizeof(long), GFP_KERNEL);
	if (!slots->words || !slots->pending_words) {
		kvfree(slots->words);
		kvfree(slots->pending_words);
		return -ENOMEM;
	}
	for (i = 0; i < tmem_slots_words(slots); i++)
		raw_spin_lock_init(&slots->words[i].lock);
	tmem_frees_init(slots);
	return 0;
}

void tmem_slots_exit(struct tmem_slots *slots)
{
	tmem_frees_exit(slots);
	kvfree(slots->words);
	kvfree(slots->pending_words);
}

/*
 * A slot, found and locked:
 *
 *	struct tmem_slot_ref ref = tmem_slot_lock(slots, slot);
 *	... ref.word, ref.bit ...
 *	tmem_slot_unlock(&ref);
 */
struct tmem_slot_ref {
	struct tmem_slot_word *word;
	u64 bit;
	unsigned long irq_flags;
};

static struct tmem_slot_ref tmem_slot_lock(struct tmem_slots *slots, u32 slot)
{
	struct tmem_slot_ref ref = {
		.word = &slots->words[slot / TMEM_SLOTS_PER_WORD],
		.bit = BIT_ULL(slot % TMEM_SLOTS_PER_WORD),
	};

	raw_spin_lock_irqsave(&ref.word->lock, ref.irq_flags);
	return ref;
}

static void tmem_slot_unlock(struct tmem_slot_ref *ref)
{
	raw_spin_unlock_irqrestore(&ref->word->lock, ref->irq_flags);
}

enum tmem_slot_state tmem_slot_state(struct tmem_slots *slots, u32 slot)
{
	struct tmem_slot_ref ref = tmem_slot_lock(slots, slot);
	enum tmem_slot_state state = tmem_word_state(ref.word, ref.bit);

	tmem_slot_unlock(&ref);
	return state;
}

enum tmem_write tmem_slot_begin_write(struct tmem_slots *slots, u32 slot)
{
	struct tmem_slot_ref ref = tmem_slot_lock(slots, slot);
	enum tmem_write write = TMEM_WRITE_PUT;

	if (ref.word->writing & ref.bit) {
		write = TMEM_WRITE_OVERLAPS;
	} else {
		ref.word->writing |= ref.bit;
		if (ref.word->refused & ref.bit)
			write = TMEM_WRITE_REFUSED;
		if (tmem_word_pending(ref.word) & ref.bit) {
			tmem_word_set_state(ref.word, ref.bit, TMEM_SLOT_EMPTY);
			atomic_dec(&slots->pending);
			tmem_count(TMEM_FREES_CANCELLED);
		}
	}
	tmem_slot_unlock(&ref);
	return write;
}

/* The store holds nothing now; what is on the disk is, until overwritten. */
static void tmem_slot_refuse(const struct tmem_slot_ref *ref)
{
	if (tmem_word_state(ref->word, ref->bit) == TMEM_SLOT_STORED)
		tmem_word_set_state(ref->word, ref->bit, TMEM_SLOT_EMPTY);
	ref->word->refused |= ref->bit;
}

void tmem_slot_set_refused(struct tmem_slots *slots, u32 slot)
{
	struct tmem_slot_ref ref = tmem_slot_lock(slots, slot);

	tmem_slot_refuse(&ref);
	tmem_slot_unlock(&ref);
}

void tmem_slot_end_write(struct tmem_slots *slots, u32 slot,
			 enum tmem_slot_state state)
{
	struct tmem_slot_ref ref = tmem_slot_lock(slots, slot);

	tmem_word_set_state(ref.word, ref.bit, state);
	ref.word->writing &= ~ref.bit;
	ref.word->refused &= ~ref.bit;
	tmem_slot_unlock(&ref);
}

void tmem_slot_end_write_refused(struct tmem_slots *slots, u32 slot)
{
	struct tmem_slot_ref ref = tmem_slot_lock(slots, slot);

	tmem_slot_refuse(&ref);
	ref.word->writing &= ~ref.bit;
	tmem_slot_unlock(&ref);
}

bool tmem_slot_refused(struct tmem_slots *slots, u32 slot)
{
	struct tmem_slot_ref ref = tmem_slot_lock(slots, slot);
	bool refused = ref.word->refused & ref.bit;

	tmem_slot_unlock(&ref);
	return refused;
}

void tmem_slot_set_empty(struct tmem_slots *slots, u32 slot)
{
	struct tmem_slot_ref ref = tmem_slot_lock(slots, slot);

	tmem_word_set_state(ref.word, ref.bit, TMEM_SLOT_EMPTY);
	tmem_slot_unlock(&ref);
}

void tmem_slot_free(struct tmem_slots *slots, u32 slot)
{
	struct tmem_slot_ref ref = tmem_slot_lock(slots, slot);
	enum tmem_slot_state state = tmem_word_state(ref.word, ref.bit);
	int pending = 0;

	/* A slot under write is not free; whoever says so is not swap. */
	if (ref.word->writing & ref.bit)
		state = TMEM_SLOT_EMPTY;
	else
		ref.word->refused &= ~ref.bit;

	if (state == TMEM_SLOT_STORED && !tmem_naive_frees_on()) {
		tmem_word_set_state(ref.word, ref.bit, TMEM_SLOT_FREE_PENDING);
		pending = atomic_inc_return(&slots->pending);
	} else if (state == TMEM_SLOT_STORED || state == TMEM_SLOT_ON_DISK) {
		tmem_word_set_state(ref.word, ref.bit, TMEM_SLOT_EMPTY);
	}
	tmem_slot_unlock(&ref);

	if (state != TMEM_SLOT_STORED)
		return;
	tmem_count(TMEM_FREES_MARKED);
	if (tmem_naive_frees_on())
		tmem_naive_free(&slots->area, slot);
	else
		tmem_frees_marked(slots, slot / TMEM_SLOTS_PER_WORD, pending);
}

u64 tmem_slots_stored(struct tmem_slots *slots)
{
	u64 stored = 0;
	u32 i;

	for (i = 0; i < tmem_slots_words(slots); i++) {
		struct tmem_slot_word *word = &slots->words[i];

		raw_spin_lock_irq(&word->lock);
		stored += hweight64(word->low & ~word->high);
		raw_spin_unlock_irq(&word->lock);
	}
	return stored;
}
