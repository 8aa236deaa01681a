/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the entry points of both engines do. */
#ifndef CHAOSKERNEL_LOGIC_ENTRY_H
#define CHAOSKERNEL_LOGIC_ENTRY_H

#if defined(__TARGET_ARCH_x86)
#define PARAMETER_6(ctx) (ctx)->r9
#elif defined(__TARGET_ARCH_arm64)
#define PARAMETER_6(ctx) ((struct user_pt_regs *)(ctx))->regs[5]
#else
#define PARAMETER_6(ctx) 0
#endif

/* A kprobe finds in registers what a trampoline has laid out. */
#define PARAMETERS(ctx)                                                     \
	{                                                                   \
		PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx), \
		PT_REGS_PARM4(ctx), PT_REGS_PARM5(ctx), PARAMETER_6(ctx),   \
	}

/* Functions of their own, so that a request which stops before has few registers to save. */
static __noinline bool fails_in_trampoline(u64 *ctx, u32 hook)
{
	return hook < MAX_HOOKS && fails(ctx, NULL, hook);
}

static __noinline bool fails_in_kprobe(struct pt_regs *ctx, u32 hook)
{
	u64 arguments[MAX_PARAMETERS] = PARAMETERS(ctx);

	return hook < MAX_HOOKS && fails(ctx, arguments, hook);
}

static __noinline bool overridden(struct pt_regs *ctx, u32 hook)
{
	u64 arguments[MAX_PARAMETERS] = PARAMETERS(ctx);

	return hook < MAX_HOOKS && concerns(bpf_get_current_pid_tgid(), arguments, hook) &&
	       fails_in_kprobe(ctx, hook);
}

/* What is known of a process that is listed need not be asked again. */
static __always_inline bool concerns_trampoline(u64 *ctx, u32 membership, u32 hook)
{
	struct chaos_counts *counts;

	if (membership != CHAOS_IN_SCOPE)
		return concerns(bpf_get_current_pid_tgid(), ctx, hook);
	counts = here();
	return counts && is_meant(ctx, hook) && reaches(counts, hook);
}

static __noinline int enter_any(u64 *ctx, u32 named)
{
	u64 position = position_of(ctx, this_task(), bpf_get_current_task());

	return enter(bpf_get_current_pid_tgid(), position, 0, named, frames_matched(ctx, named));
}

/*
 * Most functions are one frame of the chain: then all that depends on its number is settled when
 * this is compiled.
 */
static __always_inline int enter_by_fentry(u64 *ctx, u32 membership, const u32 frame)
{
	const u32 named = 1U << frame;
	struct task_struct *task;
	u64 address;

	if (membership != CHAOS_IN_SCOPE || switches.named[frame] != named)
		return may_be_in_scope(bpf_get_current_pid_tgid() >> 32)
			       ? enter_any(ctx, switches.named[frame])
			       : 0;
	task = this_task();
	address = bpf_get_current_task();
	return follow(task, address, position_of(ctx, task, address), 0, named,
		      frames_matched(ctx, named));
}

static __always_inline void enter_by_kprobe(struct pt_regs *ctx, u64 id, u32 named)
{
	u64 arguments[MAX_PARAMETERS] = PARAMETERS(ctx), position = PT_REGS_SP(ctx);

	enter(id, position, return_of(position), named, frames_matched(arguments, named));
}

/* The ids of those that leave will be used again. */
static __always_inline int exited(void)
{
	struct task_struct *task = this_task();
	u64 address = bpf_get_current_task();
	struct chaos_walk *walk;

	if (switches.nr_frames > 0 && *busy_of(address)) {
		walk = walk_of(address);
		if (walk)
			set_depth(walk, address, 0);
	}
	if (FIELD(FIELD(task, signal), live.counter) == 0)
		*membership_of(FIELD(task, tgid)) = 0;
	return 0;
}

/* Runs before the child does, which is in its control group by now. */
static __always_inline int forked(struct task_struct *child)
{
	u32 parent = bpf_get_current_pid_tgid() >> 32, tgid = FIELD(child, tgid);

	if (tgid != parent && listed_as(parent) == CHAOS_IN_SCOPE)
		*membership_of(tgid) = CHAOS_IN_SCOPE;
	if (switches.scope == CHAOS_BY_CGROUP && in_listed_group(cgroup_of(child)))
		mark_by_group(tgid);
	return 0;
}

/* The task has its new name by now. */
static __always_inline int executed(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct chaos_command command = {};

	bpf_get_current_comm(&command.name, sizeof(command.name));
	if (!listed_as(tgid) && find(commands, &command))
		*membership_of(tgid) = CHAOS_IN_SCOPE;
	return 0;
}

/* The other hierarchies number their cgroups by themselves. */
static __always_inline bool in_hierarchy(struct cgroup *cgroup)
{
	return (u32)FIELD(FIELD(cgroup, root), hierarchy_id) == switches.cgroup_hierarchy;
}

static __always_inline u64 id_of(struct cgroup *cgroup)
{
	return FIELD(FIELD(cgroup, kn), id);
}

/*
 * Runs when a thread, or a process with all of its threads, has moved; one move after another.
 * What the kernel moves by itself (cgroup_transfer_tasks) goes upwards, and so into no group
 * of the scope that it was not in before.
 */
static __always_inline int moved(struct cgroup *to, struct task_struct *task, bool whole)
{
	bool listed;

	if (!in_hierarchy(to))
		return 0;
	listed = in_listed_group(id_of(to));
	if (!listed && whole) {
		unmark_by_group(FIELD(task, tgid));
		/* It may have been listed, and the task marked, in between. */
		listed = in_listed_group(id_of(to));
	}
	if (listed)
		mark_by_group(FIELD(task, tgid));
	return 0;
}

/* Runs before anybody can move into the new one. */
static __always_inline int cgroup_made(struct cgroup *child)
{
	u64 id = id_of(child), parent;
	u16 *pod, inherited;

	if (!in_hierarchy(child))
		return 0;
	parent = BPF_CORE_READ(child, self.parent, cgroup, kn, id);
	pod = find(cgroups, &parent);
	if (!pod)
		return 0;
	inherited = *pod;
	if (put(cgroups, &id, &inherited, BPF_ANY))
		count(COUNT_UNTRACKED);
	return 0;
}

static __always_inline int cgroup_removed(struct cgroup *cgroup)
{
	u64 id = id_of(cgroup);

	if (in_hierarchy(cgroup))
		drop(cgroups, &id);
	return 0;
}

#endif
