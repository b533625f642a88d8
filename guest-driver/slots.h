/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the driver knows of each slot (page) of a swap area: two bits that say
 * where its page is, and two marks for a write that is under way.
 *
 *	what happens				from		to
 *	put accepted				any		STORED
 *	put rejected				STORED		EMPTY
 *	... and written to the disk		any		ON_DISK
 *	freed					STORED		FREE_PENDING
 *	freed					ON_DISK		EMPTY
 *	flush sent				FREE_PENDING	EMPTY
 *	write begins, no flush needed		FREE_PENDING	EMPTY
 *	exclusive get				STORED		EMPTY
 *
 * FREE_PENDING is what makes late frees safe: the store still holds the page
 * of a freed slot, and the flush goes out later, in a batch. The drain (see
 * frees.c) holds the lock of the slot's word from before it looks until after
 * the flush; a write takes the same lock, cancels the free and only then puts.
 * So a flush can never reach the store after the put of a new page.
 *
 * Locks: a word's lock is innermost, taken with interrupts off. Only the drain
 * takes several, in ascending order.
 */
#ifndef TMEM_SLOTS_H
#define TMEM_SLOTS_H

#include <linux/atomic.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "calls.h"

#define TMEM_SLOTS_PER_WORD 64

/**
 * enum tmem_slot_state - where the page of a slot is
 * @TMEM_SLOT_EMPTY: nowhere: never written, or freed; reads as zeros
 * @TMEM_SLOT_STORED: in the store, and only there
 * @TMEM_SLOT_ON_DISK: on the backing disk, and only there
 * @TMEM_SLOT_FREE_PENDING: freed, but the store has not been told yet
 */
enum tmem_slot_state {
	TMEM_SLOT_EMPTY,
	TMEM_SLOT_STORED,
	TMEM_SLOT_ON_DISK,
	TMEM_SLOT_FREE_PENDING,
};

/**
 * struct tmem_slot_word - the state of 64 slots
 * @lock: guards the word, and the flushes of its pending frees
 * @low: low bit of each slot's state
 * @high: high bit of each slot's state
 * @writing: a write of the slot is under way
 * @refused: the store has refused the page of the write under way, or of the
 *	write that the kernel is about to try again
 */
struct tmem_slot_word {
	raw_spinlock_t lock;
	u64 low;
	u64 high;
	u64 writing;
	u64 refused;
};

/**
 * struct tmem_drain_word - a word that a drain holds
 * @word: the word, locked
 * @taken: those of its pending slots that are in the drain's batch
 */
struct tmem_drain_word {
	struct tmem_slot_word *word;
	u64 taken;
};

/**
 * struct tmem_slots - the slots of one swap area
 * @area: where its pages live in the store
 * @count: number of slots
 * @words: their state
 * @pending: slots that are FREE_PENDING
 * @pending_words: words that may have such slots
 * @drain_lock: one drain at a time
 * @drain_cursor: word at which the next drain starts looking
 * @drain_held: words that the drain holds; here to spare the stack of those who
 *	free slots deep inside the kernel
 * @drain_work: drains what stays below the threshold
 */
struct tmem_slots {
	struct tmem_area area;
	u32 count;
	struct tmem_slot_word *words;
	atomic_t pending;
	unsigned long *pending_words;
	raw_spinlock_t drain_lock;
	u32 drain_cursor;
	struct tmem_drain_word drain_held[TMEM_BATCH_MAX];
	struct delayed_work drain_work;
};

static inline u32 tmem_slots_words(const struct tmem_slots *slots)
{
	return DIV_ROUND_UP(slots->count, TMEM_SLOTS_PER_WORD);
}

int tmem_slots_init(struct tmem_slots *slots, const struct tmem_area *area,
		    u32 count);

/* Nothing may use the slots any more; pending frees are sent first. */
void tmem_slots_exit(struct tmem_slots *slots);

enum tmem_slot_state tmem_slot_state(struct tmem_slots *slots, u32 slot);

/**
 * enum tmem_write - what a write of a slot has to do
 * @TMEM_WRITE_PUT: put the page
 * @TMEM_WRITE_REFUSED: the store has refused this very page already
 * @TMEM_WRITE_OVERLAPS: another write of the slot is under way. The kernel's
 *	swap never does this; direct I/O can, and is refused rather than
 *	leaving the state to the order in which the two end.
 */
enum tmem_write {
	TMEM_WRITE_PUT,
	TMEM_WRITE_REFUSED,
	TMEM_WRITE_OVERLAPS,
};

/* Begins a write and cancels a pending free of the slot. */
enum tmem_write tmem_slot_begin_write(struct tmem_slots *slots, u32 slot);

/*
 * The store has refused the page, so it holds none under this slot now. The
 * write goes on: to the backing disk, or to its end as an error.
 */
void tmem_slot_set_refused(struct tmem_slots *slots, u32 slot);

/* Ends a write; the page is where @state says. */
void tmem_slot_end_write(struct tmem_slots *slots, u32 slot,
			 enum tmem_slot_state state);

/*
 * Ends a write that the store has refused and that the kernel will try again
 * at once, so that the second try spares the call.
 */
void tmem_slot_end_write_refused(struct tmem_slots *slots, u32 slot);

/* The write under way was refused by the store. */
bool tmem_slot_refused(struct tmem_slots *slots, u32 slot);

/* The kernel does not need the slot any more. Any context. */
void tmem_slot_free(struct tmem_slots *slots, u32 slot);

/* The store has dropped the page, with an exclusive get. */
void tmem_slot_set_empty(struct tmem_slots *slots, u32 slot);

/* The swap area is gone: forgets all its slots, and so does the store. */
void tmem_slots_drop_all(struct tmem_slots *slots);

/* Pages that are in the store and nowhere else. */
u64 tmem_slots_stored(struct tmem_slots *slots);

/*
 * For frees.c, with the lock of the word held: the state of a slot by its bit.
 */
static inline enum tmem_slot_state
tmem_word_state(const struct tmem_slot_word *word, u64 bit)
{
	return (word->high & bit ? 2 : 0) | (word->low & bit ? 1 : 0);
}

static inline void tmem_word_set_state(struct tmem_slot_word *word, u64 bit,
				       enum tmem_slot_state state)
{
	word->low = state & 1 ? word->low | bit : word->low & ~bit;
	word->high = state & 2 ? word->high | bit : word->high & ~bit;
}

/* Both bits set is FREE_PENDING. */
static inline u64 tmem_word_pending(const struct tmem_slot_word *word)
{
	return word->low & word->high;
}

#endif
