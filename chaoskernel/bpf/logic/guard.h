/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What must not fail, and what limits hold back. */
#ifndef CHAOSKERNEL_LOGIC_GUARD_H
#define CHAOSKERNEL_LOGIC_GUARD_H

/*
 * Overriding the hook replaces its body, and with it the checks that the kernel makes
 * there and in should_fail(): they are made here.  Returned is the counter of the guard that
 * holds the injection back, or NR_COUNTERS.
 */
static __always_inline enum chaos_counter guard_of_request(const u64 *arguments, u32 hook,
							   const bool typed)
{
	u32 kind = switches.hooks[hook].kind;

	if (kind == HOOK_PAGE && arguments[0] & GFP_NOFAIL)
		return COUNT_HELD_NOFAIL;
	if (kind != HOOK_SLAB)
		return NR_COUNTERS;
	if (arguments[1] & GFP_NOFAIL)
		return COUNT_HELD_NOFAIL;
	return is_cache_of_caches((void *)arguments[0], typed) ? COUNT_HELD_BOOTSTRAP : NR_COUNTERS;
}

static __always_inline enum chaos_counter guard_of_task(struct task_struct *task, u64 position)
{
	u32 flags = FIELD(task, flags);

	if (!on_own_stack(task, position))
		return COUNT_HELD_INTERRUPT;
	if (flags & PF_KTHREAD)
		return COUNT_HELD_KTHREAD;
	if (FIELD(FIELD(task, signal), oom_mm))
		return COUNT_HELD_OOM;
	return flags & PF_EXITING ? COUNT_HELD_EXITING : NR_COUNTERS;
}

static __always_inline bool ticket_left(void)
{
	return switches.times == 0 || __sync_fetch_and_add(&shared()->tickets, 1) < switches.times;
}

/* What stands in the way of a request that the fault is about; NR_COUNTERS: nothing. */
static __always_inline enum chaos_counter what_holds(struct task_struct *task, u64 position,
						     u64 now, bool chosen, const u64 *arguments,
						     u32 hook, const bool typed)
{
	enum chaos_counter guard = guard_of_request(arguments, hook, typed);

	if (guard == NR_COUNTERS)
		guard = guard_of_task(task, position);
	if (guard != NR_COUNTERS)
		return guard;
	if (now >= *(volatile u64 *)&shared()->deadline)
		return COUNT_HELD_DEADLINE;
	return chosen ? NR_COUNTERS : COUNT_HELD_PROBABILITY;
}

#endif
