// SPDX-License-Identifier: GPL-2.0-only
/* Sparing calls to a store that is full. */
#include <linux/compiler.h>
#include <linux/export.h>
#include <linux/jiffies.h>

#include "backoff.h"
#include "calls.h"

/* Refusals of fewer pages could be those of one large folio. */
#define TMEM_BACKOFF_AFTER 64
/* Short for who waits for room, long for a loop that only burns time. */
#define TMEM_BACKOFF_MS 20

bool tmem_backoff_active(const struct tmem_backoff *backoff)
{
	return READ_ONCE(backoff->refused) >= TMEM_BACKOFF_AFTER &&
	       time_before(jiffies, READ_ONCE(backoff->until));
}
EXPORT_SYMBOL_GPL(tmem_backoff_active);

void tmem_backoff_note(struct tmem_backoff *backoff, s32 status)
{
	switch (status) {
	case TMEM_STATUS_OK:
		/* The common case must not write to a line that all CPUs read. */
		if (READ_ONCE(backoff->refused))
			WRITE_ONCE(backoff->refused, 0);
		break;
	case TMEM_STATUS_NO_SPACE:
	case TMEM_STATUS_OVER_LIMIT:
	case TMEM_STATUS_FROZEN:
		WRITE_ONCE(backoff->until,
			   jiffies + msecs_to_jiffies(TMEM_BACKOFF_MS));
		if (backoff->refused < TMEM_BACKOFF_AFTER)
			WRITE_ONCE(backoff->refused, backoff->refused + 1);
		break;
	default:
		/* For a reason that is the page's own. */
		break;
	}
}
EXPORT_SYMBOL_GPL(tmem_backoff_note);
