/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Whom a request is made for, as the stack tells: a page fault, or what must not fail. */
#ifndef CHAOSKERNEL_LOGIC_CALLERS_H
#define CHAOSKERNEL_LOGIC_CALLERS_H

/* A stack is too long for a program's own; whoever is preempted here keeps his. */
struct chaos_walked {
	u64 taken;
	u64 stack[MAX_STACK];
};

MAP(ARRAY, walked, u32, struct chaos_walked, NR_WALKED);

static __always_inline struct chaos_walked *take_walked(void)
{
	u32 first = bpf_get_smp_processor_id() * WAYS, way, slot;
	struct chaos_walked *mine;

#pragma unroll
	for (way = 0; way < WAYS; way++) {
		slot = (first + way) % NR_WALKED;
		mine = find(walked, &slot);
		if (mine && !__sync_val_compare_and_swap(&mine->taken, 0, 1))
			return mine;
	}
	return NULL;
}

static __always_inline void give_back(struct chaos_walked *mine)
{
	store_in_order(&mine->taken, 0);
}

#define NO_SYSTEM_CALL (~0ULL) /* what the kernel's entry leaves in orig_ax for all else */

enum chaos_caller {
	CALLER_PAGE_FAULT = 1,
	CALLER_UNDONE = 2,
	CALLER_FAILED_SITE = 4, /* it is the turn of a site that is to fail; see site.h */
	CALLERS_KNOWN = 8,	/* of a site: all callers have been looked at */
};

#define LIES_IN(function, address) ((address) - (function).begin < (function).size)

/*
 * How many tasks whose address leads here are in a function that must not fail.  Where none is,
 * the stack, whose walk costs ten times all else, need not be asked.
 */
static __always_inline u32 *cleaning_of(u64 task)
{
	return &shared()->cleaning[task >> 6 & (NR_CLEANING - 1)];
}

static __always_inline bool may_clean_up(void)
{
	return !*(volatile u64 *)&shared()->cleanups || *cleaning_of(bpf_get_current_task());
}

/* Which of the callers that matter are on the stack of a task that made this request, if any? */
static __always_inline u32 callers_possible(struct task_struct *task, bool cleans_up)
{
	u32 possible = switches.undone[0].size && cleans_up ? CALLER_UNDONE : 0;

	if (switches.page_fault.size && entry_of(task) == NO_SYSTEM_CALL)
		possible |= CALLER_PAGE_FAULT;
	return possible;
}

static __always_inline u32 callers_in(const u64 *stack, s64 size)
{
	u32 found = 0, i, number;

	for (i = 0; i < MAX_STACK && (s64)(i * sizeof(u64)) < size; i++) {
		if (LIES_IN(switches.page_fault, stack[i]))
			found |= CALLER_PAGE_FAULT;
#pragma unroll
		for (number = 0; number < MAX_UNDONE; number++)
			if (LIES_IN(switches.undone[number], stack[i]))
				found |= CALLER_UNDONE;
	}
	return size > 0 ? found : ~0U;
}

/*
 * Which of the callers that matter are on the stack of a request?  It is looked at only where
 * there may be one.  A page that a program touches enters the kernel by an exception; one that
 * the kernel touches for a system call (copy_to_user) does not, and ends in EFAULT.
 * A stack that cannot be looked at is taken to have all of them, which does no harm.
 */
static __noinline u32 callers_of(void *ctx, struct task_struct *task)
{
	u32 possible = callers_possible(task, may_clean_up()), found;
	struct chaos_walked *mine;

	if (!possible)
		return 0;
	mine = take_walked();
	if (!mine)
		return possible;
	found = callers_in(mine->stack, bpf_get_stack(ctx, mine->stack, sizeof(mine->stack), 0));
	give_back(mine);
	return possible & found;
}

#endif
