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

static s32 tmem_out(u32 nr, struct tmem_regs *regs)
{
	register u64 r8 asm("r8") = regs->r8;
	register u64 r9 asm("r9") = regs->r9;
	register u64 r10 asm("r10") = regs->r10;
	register u64 r11 asm("r11") = regs->r11;
	u64 rax = nr;

	/* The host reads and writes pages behind the compiler's back: "memory". */
	asm volatile("outl %%eax, %%dx"
		     : "+a" (rax), "+D" (regs->rdi), "+S" (regs->rsi),
		       "+r" (r8), "+r" (r9), "+r" (r10), "+r" (r11)
		     : "d" (tmem_port)
		     : "memory");

	regs->r8 = r8;
	regs->r9 = r9;
	regs->r10 = r10;
	regs->r11 = r11;
	return (s32)rax;
}

s32 tmem_transport_call(u32 nr, struct tmem_regs *regs)
{
	tmem_count(TMEM_HYPERCALLS);
	if (tmem_test_store_on())
		return tmem_test_store_call(nr, regs);
	return tmem_out(nr, regs);
}
