// SPDX-License-Identifier: GPL-2.0-only
/* The door to the host: one OUT, arguments and results in registers. */
#include "counters.h"
#include "test_store.h"
#include "transport.h"

static u16 tmem_port __read_mostly;

void tmem_transport_set_port(u16 port)
{
	tmem_port = port;
}

/*
 * Memory is touched before the first and after the last use of the register
 * variables, never between: a checked access (KASAN) is a function call, which
 * would take their registers for itself.
 */
static s32 tmem_out(u32 nr, struct tmem_regs *regs)
{
	u16 port = tmem_port;
	u64 rax = nr, rdi = regs->rdi, rsi = regs->rsi;
	u64 in8 = regs->r8, in9 = regs->r9;
	u64 in10 = regs->r10, in11 = regs->r11;
	register u64 r8 asm("r8") = in8;
	register u64 r9 asm("r9") = in9;
	register u64 r10 asm("r10") = in10;
	register u64 r11 asm("r11") = in11;

	/* The host reads and writes pages behind the compiler's back: "memory". */
	asm volatile("outl %%eax, %%dx"
		     : "+a" (rax), "+D" (rdi), "+S" (rsi),
		       "+r" (r8), "+r" (r9), "+r" (r10), "+r" (r11)
		     : "d" (port)
		     : "memory");

	in8 = r8;
	in9 = r9;
	in10 = r10;
	in11 = r11;
	*regs = (struct tmem_regs) {
		.rdi = rdi, .rsi = rsi,
		.r8 = in8, .r9 = in9, .r10 = in10, .r11 = in11,
	};
	return (s32)rax;
}

s32 tmem_transport_call(u32 nr, struct tmem_regs *regs)
{
	tmem_count(TMEM_HYPERCALLS);
	if (tmem_test_store_on())
		return tmem_test_store_call(nr, regs);
	return tmem_out(nr, regs);
}
