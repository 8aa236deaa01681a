// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * A fault's program, compiled once: what a fault asks for is set in `switches` before it
 * is loaded, and what it does not need is dead code to the verifier, which drops it.
 *
 * What it does is in logic/, each part of which builds on those before it; here are the thin
 * entry points.  A fault with predicates is this file again, with them in between
 * (PREDICATES), on the types of a kernel (vmlinux.h).
 */
#ifdef PREDICATES
#include "vmlinux.h"
#else
#include "kernel.h"
#endif
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "logic/state.h"
#include "logic/scope.h"
#include "logic/chain.h"
#include "logic/event.h"
#include "logic/guard.h"
#include "logic/callers.h"
#include "logic/site.h"

#ifdef PREDICATES
#include "predicates.h"
#include PREDICATES
#else
/* Does the predicate on the hook's own arguments hold? */
static __always_inline bool hook_matches(const u64 *arguments)
{
	return true;
}

/* Of the frames that name one function, those whose predicates hold. */
static __always_inline u32 frames_matched(const u64 *arguments, u32 named)
{
	return named;
}
#endif

#include "logic/place.h"
#include "logic/peer.h"
#include "logic/decide.h"

#if defined(__TARGET_ARCH_x86)
#define PARAMETER_6(ctx) (ctx)->r9
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

/*
 * A hook is called for every request of every task.  Unless the scope is the whole system,
 * a task out of it is let go after one byte, and each instruction on that way counts: the
 * context lies on the stack, for a register would have to be saved and restored, and the
 * byte is what is returned, for the compiler would make another zero if it knew what the
 * jump tells.
 */
#define HOOK(n)                                                                                    \
	static __noinline long modified_##n(u64 *ctx)                                              \
	{                                                                                          \
		if (!concerns(bpf_get_current_pid_tgid(), ctx, n) || !fails_in_trampoline(ctx, n)) \
			return 0;                                                                  \
		return switches.hooks[n].value;                                                    \
	}                                                                                          \
                                                                                                   \
	SEC("fmod_ret")                                                                            \
	long hook_fmod_ret_##n(u64 *ctx)                                                           \
	{                                                                                          \
		u64 *volatile kept = ctx;                                                          \
		long membership = *membership_of(bpf_get_current_task_btf()->tgid);                \
                                                                                                   \
		asm goto("if %0 != 0 goto %l[known]" : : "r"(membership) : : known);               \
		return membership;                                                                 \
	known:                                                                                     \
		return modified_##n(kept);                                                         \
	}                                                                                          \
                                                                                                   \
	SEC("fmod_ret")                                                                            \
	long wide_hook_fmod_ret_##n(u64 *ctx)                                                      \
	{                                                                                          \
		return may_be_in_scope(bpf_get_current_task_btf()->tgid) ? modified_##n(ctx) : 0;  \
	}                                                                                          \
                                                                                                   \
	SEC("kprobe")                                                                              \
	int hook_kprobe_##n(struct pt_regs *ctx)                                                   \
	{                                                                                          \
		if (*membership_of(bpf_get_current_task_btf()->tgid) && overridden(ctx, n))        \
			bpf_override_return(ctx, switches.hooks[n].value);                         \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	SEC("kprobe")                                                                              \
	int wide_hook_kprobe_##n(struct pt_regs *ctx)                                              \
	{                                                                                          \
		if (may_be_in_scope(bpf_get_current_task_btf()->tgid) && overridden(ctx, n))       \
			bpf_override_return(ctx, switches.hooks[n].value);                         \
		return 0;                                                                          \
	}

HOOK(0)
HOOK(1)
HOOK(2)
HOOK(3)
HOOK(4)
HOOK(5)
HOOK(6)
HOOK(7)
HOOK(8)
HOOK(9)
HOOK(10)
HOOK(11)

/*
 * Where a path leads: the agent, as a witness, asks for the attributes of a file that it has
 * opened, and the first call that comes of it has its dentry (overlayfs calls the hook again,
 * for the file below).
 */
SEC("fentry")
int learn_place(u64 *ctx)
{
	struct path *path = (void *)ctx[0];
	struct dentry *dentry = path->dentry;

	if (listed_as(bpf_get_current_task_btf()->tgid) != CHAOS_WITNESS || state.learned)
		return 0;
	state.learned = state.whole ? address_of(dentry->d_sb->s_root) : address_of(dentry);
	return 0;
}

static __always_inline void enter_by_fentry(u64 *ctx, u64 id, u32 named)
{
	u64 position = position_of(ctx, bpf_get_current_task_btf());

	enter(id, position, 0, named, frames_matched(ctx, named));
}

static __always_inline void enter_by_kprobe(struct pt_regs *ctx, u64 id, u32 named)
{
	u64 arguments[MAX_PARAMETERS] = PARAMETERS(ctx), position = PT_REGS_SP(ctx);

	enter(id, position, return_of(position), named, frames_matched(arguments, named));
}

#define FRAME(n)                                                                  \
	SEC("fentry")                                                             \
	int enter_fentry_##n(u64 *ctx)                                            \
	{                                                                         \
		u64 id = bpf_get_current_pid_tgid();                              \
                                                                                  \
		if (may_be_in_scope(id >> 32))                                    \
			enter_by_fentry(ctx, id, switches.named[n]);              \
		return 0;                                                         \
	}                                                                         \
                                                                                  \
	SEC("fexit")                                                              \
	int leave_fexit_##n(u64 *ctx)                                             \
	{                                                                         \
		u32 tid = bpf_get_current_pid_tgid();                             \
                                                                                  \
		if (*depth_of(tid))                                               \
			leave(tid, position_of(ctx, bpf_get_current_task_btf())); \
		return 0;                                                         \
	}                                                                         \
                                                                                  \
	SEC("kprobe")                                                             \
	int enter_kprobe_##n(struct pt_regs *ctx)                                 \
	{                                                                         \
		u64 id = bpf_get_current_pid_tgid();                              \
                                                                                  \
		if (may_be_in_scope(id >> 32))                                    \
			enter_by_kprobe(ctx, id, switches.named[n]);              \
		return 0;                                                         \
	}                                                                         \
                                                                                  \
	SEC("kretprobe")                                                          \
	int leave_kretprobe_##n(struct pt_regs *ctx)                              \
	{                                                                         \
		u32 tid = bpf_get_current_pid_tgid();                             \
                                                                                  \
		if (*depth_of(tid))                                               \
			leave(tid, RETURN_POSITION(ctx));                         \
		return 0;                                                         \
	}

FRAME(0)
FRAME(1)
FRAME(2)
FRAME(3)
FRAME(4)
FRAME(5)
FRAME(6)
FRAME(7)
FRAME(8)
FRAME(9)
FRAME(10)
FRAME(11)
FRAME(12)
FRAME(13)
FRAME(14)
FRAME(15)

/* The ids of those that leave will be used again. */
SEC("tp_btf/sched_process_exit")
int track_exit(u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u8 *depth = depth_of(task->pid);
	struct chaos_walk *walk = *depth ? walk_of(bpf_get_current_task()) : NULL;

	*depth = 0;
	if (walk)
		walk->task = 0;
	if (task->signal->live.counter == 0)
		*membership_of(task->tgid) = 0;
	return 0;
}

/*
 * A thread that calls exec and is not the leader takes the leader's id, in the middle of it:
 * sched_process_exec comes when the chain has been left.  Runs before they are swapped.
 */
static __always_inline int swap_depths(u32 one, u32 other)
{
	u8 *first = depth_of(one), *second = depth_of(other), kept = *first;

	*first = *second;
	*second = kept;
	return 0;
}

SEC("fentry")
int track_ids_fentry(u64 *ctx)
{
	struct task_struct *one = (void *)ctx[0], *other = (void *)ctx[1];

	return swap_depths(one->pid, other->pid);
}

SEC("kprobe")
int track_ids_kprobe(struct pt_regs *ctx)
{
	struct task_struct *one = (void *)PT_REGS_PARM1(ctx), *other = (void *)PT_REGS_PARM2(ctx);

	return swap_depths(BPF_CORE_READ(one, pid), BPF_CORE_READ(other, pid));
}

/* Runs before the child does, which is in its control group by now. */
SEC("tp_btf/sched_process_fork")
int track_fork(u64 *ctx)
{
	u32 parent = bpf_get_current_pid_tgid() >> 32;
	struct task_struct *child = (void *)ctx[1];

	if (child->tgid != parent && listed_as(parent) == CHAOS_IN_SCOPE)
		*membership_of(child->tgid) = CHAOS_IN_SCOPE;
	if (switches.scope == CHAOS_BY_CGROUP && in_listed_group(cgroup_of(child)))
		mark_by_group(child->tgid);
	return 0;
}

/* The task has its new name by now. */
SEC("tp_btf/sched_process_exec")
int track_exec(u64 *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct chaos_command command = {};

	bpf_get_current_comm(&command.name, sizeof(command.name));
	if (!listed_as(tgid) && bpf_map_lookup_elem(&commands, &command))
		*membership_of(tgid) = CHAOS_IN_SCOPE;
	return 0;
}

/* The other hierarchies number their cgroups by themselves. */
static __always_inline bool in_hierarchy(struct cgroup *cgroup)
{
	return (u32)cgroup->root->hierarchy_id == switches.cgroup_hierarchy;
}

/* Run over all tasks, threads among them, after groups that may have some were listed. */
SEC("iter/task")
int mark_tasks(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[1];

	if (task && in_listed_group(cgroup_of(task)))
		mark_by_group(task->tgid);
	return 0;
}

/*
 * Runs when a thread, or a process with all of its threads, has moved; one move after another.
 * What the kernel moves by itself (cgroup_transfer_tasks) goes upwards, and so into no group
 * of the scope that it was not in before.
 */
SEC("tp_btf/cgroup_attach_task")
int track_move(u64 *ctx)
{
	struct cgroup *to = (void *)ctx[0];
	struct task_struct *task = (void *)ctx[2];
	bool whole = ctx[3], listed;

	if (!in_hierarchy(to))
		return 0;
	listed = in_listed_group(to->kn->id);
	if (!listed && whole) {
		unmark_by_group(task->tgid);
		/* It may have been listed, and the task marked, in between. */
		listed = in_listed_group(to->kn->id);
	}
	if (listed)
		mark_by_group(task->tgid);
	return 0;
}

/* Runs before anybody can move into the new one. */
SEC("tp_btf/cgroup_mkdir")
int track_mkdir(u64 *ctx)
{
	struct cgroup *child = (void *)ctx[0];
	u64 id = child->kn->id, parent;
	u16 *pod, inherited;

	if (!in_hierarchy(child))
		return 0;
	parent = BPF_CORE_READ(child, self.parent, cgroup, kn, id);
	pod = bpf_map_lookup_elem(&cgroups, &parent);
	if (!pod)
		return 0;
	inherited = *pod;
	if (bpf_map_update_elem(&cgroups, &id, &inherited, BPF_ANY))
		count(COUNT_UNTRACKED);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int track_rmdir(u64 *ctx)
{
	struct cgroup *cgroup = (void *)ctx[0];
	u64 id = cgroup->kn->id;

	if (in_hierarchy(cgroup))
		bpf_map_delete_elem(&cgroups, &id);
	return 0;
}
