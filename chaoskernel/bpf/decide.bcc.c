// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The decision: is this request to fail?  What stands in the way of it is counted. */

/* CLOCK_MONOTONIC, ns; 0 until the fault is armed, and again once it is not. */
BPF_ARRAY(deadline, u64, 1);
/* Injections handed out so far; the one place where `times` is decided. */
BPF_ARRAY(tickets, u64, 1);

/*
 * Overriding the hook replaces its body, and with it the checks that the kernel
 * makes there and in should_fail(): they are made here.  Returns the counter of
 * the guard that holds the injection back, or NR_COUNTERS.
 */
static __always_inline int guarded(struct task_struct *task, bool own_stack, bool nofail)
{
	struct signal_struct *signal = NULL;
	struct mm_struct *oom_mm = NULL;
	u32 flags = 0;

	if (nofail)
		return COUNT_HELD_NOFAIL;
	if (!own_stack)
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

/* The decision: is this request, by a task in scope, to fail? */
static __always_inline bool should_fail(u64 position, bool nofail, bool predicate)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	bool own_stack = on_own_stack(task, position);
	bool chosen = false;
	int guard, zero = 0;
	u64 *until = deadline.lookup(&zero);

	if (!until || !*until)
		return false;
	count(COUNT_REACHED);
	if (NR_FRAMES > 0 && !own_stack)
		return false;
	if (!predicate || !chain_active(position, &chosen))
		return false;
	count(COUNT_MATCHED);
	guard = guarded(task, own_stack, nofail);
	if (guard != NR_COUNTERS) {
		count(guard);
		return false;
	}
	if (bpf_ktime_get_ns() >= *until) {
		count(COUNT_HELD_DEADLINE);
		return false;
	}
	if (!chosen) {
		count(COUNT_HELD_PROBABILITY);
		return false;
	}
	if (!ticket_left()) {
		count(COUNT_HELD_TIMES);
		return false;
	}
	if (DRY_RUN) {
		count(COUNT_HELD_DRY_RUN);
		return false;
	}
	count(COUNT_INJECTED);
	return true;
}
