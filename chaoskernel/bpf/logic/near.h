/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* System calls that are near the one that a fault fails: who hit nothing is shown those. */
#ifndef CHAOSKERNEL_LOGIC_NEAR_H
#define CHAOSKERNEL_LOGIC_NEAR_H

/* A function of its own: whoever is out of scope has few registers to save. */
static __noinline void count_near(u32 which)
{
	struct chaos_counts *counts = here();

	if (!counts || which >= MAX_NEAR || !in_scope(bpf_get_current_pid_tgid() >> 32))
		return;
	if (*(volatile u64 *)&shared()->deadline)
		counts->near[which]++;
}

#endif
