/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Is a request to fail?  All of the above, in order. */
#ifndef CHAOSKERNEL_LOGIC_DECIDE_H
#define CHAOSKERNEL_LOGIC_DECIDE_H

/* A task in scope makes a request: is the fault in force, and may its call chain be active? */
static __always_inline bool reaches(struct chaos_counts *counts, u32 hook)
{
	if (!*(volatile u64 *)&shared()->deadline)
		return false;
	counts->counters[COUNT_REACHED]++;
	counts->hooks[hook].reached++;
	return may_be_active();
}

/* The same of a task that may be in scope. */
static __always_inline bool concerns(u64 id, const u64 *arguments, u32 hook)
{
	struct chaos_counts *counts = here();

	if (!counts || !is_meant(arguments, hook))
		return false;
	if (listed_as(id >> 32) == CHAOS_WITNESS) {
		counts->counters[COUNT_PROVOKED]++;
		counts->hooks[hook].provoked++;
	}
	return in_scope(id >> 32) && reaches(counts, hook);
}

/*
 * Is such a request to fail?
 * @registers: a kprobe's arguments, or NULL in a trampoline program, whose context has them.
 */
static __always_inline bool fails(void *ctx, const u64 *registers, u32 hook)
{
	const u64 *arguments = registers ?: ctx;
	struct task_struct *task = this_task();
	u64 position = registers ? PT_REGS_SP((struct pt_regs *)ctx)
				 : position_of(ctx, task, bpf_get_current_task());
	struct chaos_counts *counts = here();
	bool chosen = false;
	u32 callers = 0;
	enum chaos_counter held;
	u64 now;

	if (!counts || (switches.nr_frames > 0 && !on_own_stack(task, position)))
		return false;
	if (!registers && !is_in_place(ctx, hook))
		return false;
	if (!hook_matches(arguments) || !chain_active(task, position, &chosen))
		return false;
	counts->counters[COUNT_MATCHED]++;
	counts->hooks[hook].matched++;
	now = bpf_ktime_get_boot_ns();
	held = what_holds(task, position, now, chosen, arguments, hook, !registers);
	if (held == NR_COUNTERS)
		callers = switches.by_site ? callers_at_site(ctx, task, arguments, hook)
					   : callers_of(ctx, task);
	if (callers & CALLER_UNDONE)
		held = COUNT_HELD_CLEANUP;
	else if (callers & CALLER_PAGE_FAULT && switches.hold_page_faults)
		held = COUNT_HELD_PAGE_FAULT;
	else if (held == NR_COUNTERS && switches.by_site && !(callers & CALLER_FAILED_SITE))
		held = COUNT_HELD_SITE;
	if (held == NR_COUNTERS && !ticket_left())
		held = COUNT_HELD_TIMES;
	if (held != NR_COUNTERS) {
		count(held);
		return false;
	}
	counts->counters[switches.dry_run ? COUNT_HELD_DRY_RUN : COUNT_INJECTED]++;
	counts->hooks[hook].injected++;
	if (callers & CALLER_PAGE_FAULT)
		counts->counters[COUNT_PAGE_FAULTS]++;
	count_hit(task);
	count_pod();
	keep_event(ctx, task, position, now, arguments, hook, !registers);
	return !switches.dry_run;
}

#endif
