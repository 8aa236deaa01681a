// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * A fault's program, compiled once: what a fault asks for is set in `switches` before it
 * is loaded, and what it does not need is dead code to the verifier, which drops it.
 *
 * What it does is in logic/, each part of which builds on those before it; here are the thin
 * entry points.  A fault with predicates is this file again, with them in between
 * (PREDICATES), on the types of a kernel (vmlinux.h).
 */
#include "core.h"

#include "logic/scope.h"
#include "logic/chain.h"
#include "logic/event.h"
#include "logic/guard.h"
#include "logic/callers.h"
#include "logic/site.h"

#ifdef PREDICATES
#include "logic/predicate.h"
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
#include "logic/entry.h"
#include "logic/near.h"
#include "logic/watch.h"

/*
 * A hook is called for every request of every task, and a frame whenever its function is.
 * Unless the scope is the whole system, a task out of it is let go after one byte, and each
 * instruction on that way counts: the context lies on the stack, for a register would have to
 * be saved and restored, and the byte is what is returned, for the compiler would make another
 * zero if it knew what the jump tells.
 *
 * Returns what was found where that is 0, and else `more`, which has the context as `kept`.
 */
#define RETURN_IF_ZERO(found, more)                                   \
	u64 *volatile kept = ctx;                                     \
	long known = found;                                           \
                                                                      \
	asm goto("if %0 != 0 goto %l[rest]" : : "r"(known) : : rest); \
	return known;                                                 \
	rest:                                                         \
	return more

static __always_inline u8 own_membership(void)
{
	return *membership_of(bpf_get_current_task_btf()->tgid);
}

#define HOOK(n)                                                                                 \
	static __noinline long modified_##n(u64 *ctx, u32 membership)                           \
	{                                                                                       \
		if (!concerns_trampoline(ctx, membership, n) || !fails_in_trampoline(ctx, n))   \
			return 0;                                                               \
		return switches.hooks[n].value;                                                 \
	}                                                                                       \
                                                                                                \
	SEC("fmod_ret")                                                                         \
	long hook_fmod_ret_##n(u64 *ctx)                                                        \
	{                                                                                       \
		RETURN_IF_ZERO(own_membership(), modified_##n(kept, known));                    \
	}                                                                                       \
                                                                                                \
	SEC("fmod_ret")                                                                         \
	long wide_hook_fmod_ret_##n(u64 *ctx)                                                   \
	{                                                                                       \
		return may_be_in_scope(bpf_get_current_task_btf()->tgid) ? modified_##n(ctx, 0) \
									 : 0;                   \
	}                                                                                       \
                                                                                                \
	SEC("kprobe")                                                                           \
	int hook_kprobe_##n(struct pt_regs *ctx)                                                \
	{                                                                                       \
		if (own_membership() && overridden(ctx, n))                                     \
			bpf_override_return(ctx, switches.hooks[n].value);                      \
		return 0;                                                                       \
	}                                                                                       \
                                                                                                \
	SEC("kprobe")                                                                           \
	int wide_hook_kprobe_##n(struct pt_regs *ctx)                                           \
	{                                                                                       \
		if (may_be_in_scope(bpf_get_current_task_btf()->tgid) && overridden(ctx, n))    \
			bpf_override_return(ctx, switches.hooks[n].value);                      \
		return 0;                                                                       \
	}

/* An object with predicates is one fault's: it has the programs of that fault alone. */
#ifndef HOOKS
#define HOOKS    \
	HOOK(0)  \
	HOOK(1)  \
	HOOK(2)  \
	HOOK(3)  \
	HOOK(4)  \
	HOOK(5)  \
	HOOK(6)  \
	HOOK(7)  \
	HOOK(8)  \
	HOOK(9)  \
	HOOK(10) \
	HOOK(11)
#endif

HOOKS

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

/* Functions of their own: whoever is out of scope has few registers to save. */
static __noinline int left(u64 *ctx)
{
	struct task_struct *task = this_task();
	u64 address = bpf_get_current_task();

	return leave_by(task, address, position_of(ctx, task, address));
}

#define FRAME(n)                                                              \
	static __noinline int entered_##n(u64 *ctx, u32 membership)           \
	{                                                                     \
		return enter_by_fentry(ctx, membership, n);                   \
	}                                                                     \
                                                                              \
	SEC("fentry")                                                         \
	long enter_fentry_##n(u64 *ctx)                                       \
	{                                                                     \
		RETURN_IF_ZERO(own_membership(), entered_##n(kept, known));   \
	}                                                                     \
                                                                              \
	SEC("fentry")                                                         \
	int wide_enter_fentry_##n(u64 *ctx)                                   \
	{                                                                     \
		return entered_##n(ctx, 0);                                   \
	}                                                                     \
                                                                              \
	SEC("fexit")                                                          \
	long leave_fexit_##n(u64 *ctx)                                        \
	{                                                                     \
		RETURN_IF_ZERO(*busy_of(bpf_get_current_task()), left(kept)); \
	}                                                                     \
                                                                              \
	SEC("kprobe")                                                         \
	int enter_kprobe_##n(struct pt_regs *ctx)                             \
	{                                                                     \
		u64 id = bpf_get_current_pid_tgid();                          \
                                                                              \
		if (may_be_in_scope(id >> 32))                                \
			enter_by_kprobe(ctx, id, switches.named[n]);          \
		return 0;                                                     \
	}                                                                     \
                                                                              \
	SEC("kretprobe")                                                      \
	int leave_kretprobe_##n(struct pt_regs *ctx)                          \
	{                                                                     \
		if (*busy_of(bpf_get_current_task()))                         \
			leave(RETURN_POSITION(ctx));                          \
		return 0;                                                     \
	}

#ifndef FRAMES
#define FRAMES    \
	FRAME(0)  \
	FRAME(1)  \
	FRAME(2)  \
	FRAME(3)  \
	FRAME(4)  \
	FRAME(5)  \
	FRAME(6)  \
	FRAME(7)  \
	FRAME(8)  \
	FRAME(9)  \
	FRAME(10) \
	FRAME(11) \
	FRAME(12) \
	FRAME(13) \
	FRAME(14) \
	FRAME(15)
#endif

FRAMES

/*
 * What must not fail is entered, and returns.  A return that is not seen costs walks of stacks
 * that need not have been, and no more.
 */
SEC("kprobe")
int begin_cleanup(struct pt_regs *ctx)
{
	__sync_fetch_and_add(cleaning_of(bpf_get_current_task()), 1);
	return 0;
}

SEC("kretprobe")
int end_cleanup(struct pt_regs *ctx)
{
	__sync_fetch_and_add(cleaning_of(bpf_get_current_task()), -1);
	return 0;
}

#define NEAR(n)                                                        \
	SEC("fentry")                                                  \
	int near_fentry_##n(u64 *ctx)                                  \
	{                                                              \
		if (may_be_in_scope(bpf_get_current_task_btf()->tgid)) \
			count_near(n);                                 \
		return 0;                                              \
	}                                                              \
                                                                       \
	SEC("kprobe")                                                  \
	int near_kprobe_##n(struct pt_regs *ctx)                       \
	{                                                              \
		if (may_be_in_scope(bpf_get_current_task_btf()->tgid)) \
			count_near(n);                                 \
		return 0;                                              \
	}

NEAR(0)
NEAR(1)
NEAR(2)
NEAR(3)
NEAR(4)
NEAR(5)
NEAR(6)
NEAR(7)
NEAR(8)
NEAR(9)
NEAR(10)
NEAR(11)

SEC("tp_btf/sched_process_exit")
int track_exit(u64 *ctx)
{
	return exited();
}

SEC("tp_btf/sched_process_fork")
int track_fork(u64 *ctx)
{
	return forked((void *)ctx[1]);
}

SEC("tp_btf/sched_process_exec")
int track_exec(u64 *ctx)
{
	return executed();
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

SEC("tp_btf/cgroup_attach_task")
int track_move(u64 *ctx)
{
	return moved((void *)ctx[0], (void *)ctx[2], ctx[3]);
}

SEC("tp_btf/cgroup_mkdir")
int track_mkdir(u64 *ctx)
{
	return cgroup_made((void *)ctx[0]);
}

SEC("tp_btf/cgroup_rmdir")
int track_rmdir(u64 *ctx)
{
	return cgroup_removed((void *)ctx[0]);
}

/* For `chaoskernel watch`: every system call of the host comes here while somebody does. */
SEC("tp_btf/sys_enter")
int watch_call(u64 *ctx)
{
	struct pt_regs *registers = (void *)ctx[0];
	u32 number = ctx[1], *about;

	if (!in_scope(bpf_get_current_task_btf()->tgid))
		return 0;
	about = bpf_map_lookup_elem(&watched, &number);
	if (!about)
		return 0;
	switch (*about) {
	case ABOUT_NOTHING:
		watch_nothing(number);
		break;
	case ABOUT_LOCKED:
		if (!is_lock(PT_REGS_PARM2_CORE_SYSCALL(registers)))
			break;
		watch_descriptor(PT_REGS_PARM1_CORE_SYSCALL(registers), number);
		break;
	case ABOUT_DESCRIPTOR:
		watch_descriptor(PT_REGS_PARM1_CORE_SYSCALL(registers), number);
		break;
	case ABOUT_MAPPED:
		watch_descriptor(PT_REGS_PARM5_CORE_SYSCALL(registers), number);
		break;
	case ABOUT_PATH_1:
		watch_path(PT_REGS_PARM1_CORE_SYSCALL(registers), number);
		break;
	case ABOUT_PATH_2:
		watch_path(PT_REGS_PARM2_CORE_SYSCALL(registers), number);
		break;
	case ABOUT_PATH_3:
		watch_path(PT_REGS_PARM3_CORE_SYSCALL(registers), number);
		break;
	case ABOUT_PATH_4:
		watch_path(PT_REGS_PARM4_CORE_SYSCALL(registers), number);
		break;
	case ABOUT_ADDRESS:
		watch_address(PT_REGS_PARM2_CORE_SYSCALL(registers), number,
			      PT_REGS_PARM3_CORE_SYSCALL(registers));
		break;
	}
	return 0;
}

SEC("tp_btf/block_bio_queue")
int watch_bio(u64 *ctx)
{
	struct bio *bio = (void *)ctx[0];

	if (in_scope(bpf_get_current_task_btf()->tgid))
		watch_disk(BPF_CORE_READ(bio, bi_bdev, bd_dev));
	return 0;
}
