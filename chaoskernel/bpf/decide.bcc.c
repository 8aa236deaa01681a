// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The decision: is this request to fail?  What stands in the way of it is counted. */

/* CLOCK_BOOTTIME, ns; 0 until the fault is armed, and again once it is not. */
BPF_ARRAY(deadline, u64, 1);
/* Injections handed out so far; the one place where `times` is decided. */
BPF_ARRAY(tickets, u64, 1);

/*
 * Overriding the hook replaces its body, and with it the checks that the kernel
 * makes there and in should_fail(): they are made here.  Both functions return the
 * counter of the guard that holds the injection back, or NR_COUNTERS.
 */
#if HOOK_SLAB
static __always_inline int guard_of_request(struct kmem_cache *s, gfp_t gfpflags)
{
	struct kmem_cache *bootstrap = NULL;

	if (gfpflags & __GFP_NOFAIL)
		return COUNT_HELD_NOFAIL;
	/* The cache that the caches themselves are from. */
	if (BOOTSTRAP_CACHE)
		bpf_probe_read_kernel(&bootstrap, sizeof(bootstrap), (void *)BOOTSTRAP_CACHE);
	return s == bootstrap ? COUNT_HELD_BOOTSTRAP : NR_COUNTERS;
}
#elif HOOK_PAGE
static __always_inline int guard_of_request(gfp_t gfp_mask, unsigned int order)
{
	return gfp_mask & __GFP_NOFAIL ? COUNT_HELD_NOFAIL : NR_COUNTERS;
}
#else
#define guard_of_request(args...) NR_COUNTERS
#endif

static __always_inline int guard_of_task(struct task_struct *task, u64 position)
{
	struct signal_struct *signal = NULL;
	struct mm_struct *oom_mm = NULL;
	u32 flags = 0;

	if (!on_own_stack(task, position))
		return COUNT_HELD_INTERRUPT;
	bpf_probe_read_kernel(&flags, sizeof(flags), &task->flags);
	if (flags & PF_KTHREAD)
		return COUNT_HELD_KTHREAD;
	bpf_probe_read_kernel(&signal, sizeof(signal), &task->signal);
	bpf_probe_read_kernel(&oom_mm, sizeof(oom_mm), &signal->oom_mm);
	if (oom_mm)
		return COUNT_HELD_OOM;
	if (flags & PF_EXITING)
		return COUNT_HELD_EXITING;
	return NR_COUNTERS;
}

static __always_inline bool ticket_left(void)
{
	int zero = 0;
	u64 *taken;

	if (TIMES == 0)
		return true;
	taken = tickets.lookup(&zero);
	return taken && __sync_fetch_and_add(taken, 1) < TIMES;
}

/* Is a request, by a task in scope, one of those that the fault is about? */
static __always_inline bool matches(u64 position, bool predicate, bool *chosen)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	int zero = 0;
	u64 *until = deadline.lookup(&zero);

	if (!until || !*until)
		return false;
	count(COUNT_REACHED);
	if (NR_FRAMES > 0 && !on_own_stack(task, position))
		return false;
	if (!predicate || !chain_active(task, position, chosen))
		return false;
	count(COUNT_MATCHED);
	return true;
}

#define CALLER_PAGE_FAULT 1
#define CALLER_UNDONE 2

#if PAGE_FAULT_SIZE || HAS_UNDONE
#define NR_WALKED 64

struct walked {
	u64 stack[NR_WALKED];
};

/* A stack is too long for a program's own. */
BPF_PERCPU_ARRAY(walked, struct walked, 1);

/* See logic/callers.h.  Whoever is preempted here may have another one's stack. */
static __always_inline int callers_of(void *ctx, struct task_struct *task)
{
	int possible = HAS_UNDONE ? CALLER_UNDONE : 0, found = 0, zero = 0, i, size;
	struct walked *mine;
	u64 address;

	if (PAGE_FAULT_SIZE && entry_of(task) == ~0ULL)
		possible |= CALLER_PAGE_FAULT;
	if (!possible)
		return 0;
	mine = walked.lookup(&zero);
	if (!mine)
		return possible;
	size = bpf_get_stack(ctx, mine->stack, sizeof(mine->stack), 0);
#pragma unroll
	for (i = 0; i < NR_WALKED; i++) {
		if (i * (int)sizeof(u64) >= size)
			continue;
		address = mine->stack[i];
		if (address - PAGE_FAULT_BEGIN < PAGE_FAULT_SIZE)
			found |= CALLER_PAGE_FAULT;
		if (IS_UNDONE(address))
			found |= CALLER_UNDONE;
	}
	return size > 0 ? possible & found : possible;
}
#else
#define callers_of(ctx, task) 0
#endif

/*
 * Is one of those to fail, or would it, were this no dry run?
 * @guard: guard_of_request().
 */
static __always_inline bool should_fail(void *ctx, u64 position, bool chosen, int guard)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	int held = NR_COUNTERS, zero = 0;
	int callers = 0;
	u64 *until = deadline.lookup(&zero);

	if (guard == NR_COUNTERS)
		guard = guard_of_task(task, position);
	if (guard != NR_COUNTERS)
		held = guard;
	else if (!until || now() >= *until)
		held = COUNT_HELD_DEADLINE;
	else if (!chosen)
		held = COUNT_HELD_PROBABILITY;
	else
		callers = callers_of(ctx, task);
	if (callers & CALLER_UNDONE)
		held = COUNT_HELD_CLEANUP;
	else if (callers & CALLER_PAGE_FAULT && HOLD_PAGE_FAULTS)
		held = COUNT_HELD_PAGE_FAULT;
	if (held == NR_COUNTERS && !ticket_left())
		held = COUNT_HELD_TIMES;
	if (held != NR_COUNTERS) {
		count(held);
		return false;
	}
	count(DRY_RUN ? COUNT_HELD_DRY_RUN : COUNT_INJECTED);
	if (callers & CALLER_PAGE_FAULT)
		count(COUNT_PAGE_FAULTS);
	count_hit(task);
	count_pod();
	return true;
}
