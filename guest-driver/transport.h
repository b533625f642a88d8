/* SPDX-License-Identifier: GPL-2.0-only */
/* The door to the host: one OUT, arguments and results in registers. */
#ifndef TMEM_TRANSPORT_H
#define TMEM_TRANSPORT_H

#include <linux/types.h>

/**
 * struct tmem_regs - argument and result registers of a call
 * @rdi: first register; the ABI says which mean what for a call
 * @rsi: second
 * @r8: third
 * @r9: fourth
 * @r10: fifth
 * @r11: sixth
 *
 * The call overwrites those that the ABI names as results.
 */
struct tmem_regs {
	u64 rdi;
	u64 rsi;
	u64 r8;
	u64 r9;
	u64 r10;
	u64 r11;
};

/* The I/O port that the ACPI device names. Set once, before the first call. */
void tmem_transport_set_port(u16 port);

/*
 * Makes call @nr (TMEM_CALL_*) and returns its status (TMEM_STATUS_*). May be
 * called in any context; never sleeps.
 */
s32 tmem_transport_call(u32 nr, struct tmem_regs *regs);

#endif
