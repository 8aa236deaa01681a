// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The logic of one fault, in the C that BCC compiles.
 *
 * program.py puts the switches of a fault before this text and the thin entry
 * points after it: one for the hook, two for each function of the call chain.
 *
 * A call chain is followed by stack position.  When a frame is entered, the
 * address of its activation on the thread's kernel stack is kept; an activation
 * that lies below the position of a later event is known to have ended, even
 * when its return was not seen.  Recursion, a function that is named twice and
 * a probe that is attached in the middle of a call need no case of their own.
 */
#include <linux/sched.h>
#include <linux/sched/signal.h>
#if SCOPED_BY_CGROUP
#include <linux/cgroup-defs.h>
#include <linux/kernfs.h>
#endif

/* A macro that is none is an error here, and not when the program is loaded. */
#pragma clang diagnostic error "-Wimplicit-function-declaration"

#define MAX_PROCESSES 16384
#define MAX_THREADS 16384
#define MAX_CGROUPS 16384
#define MAX_COMMANDS 256
#define MAX_LITERAL 64

/* CLOCK_MONOTONIC, ns; 0 until the fault is armed, and again once it is not. */
BPF_ARRAY(deadline, u64, 1);
/* Injections handed out so far; the one place where `times` is decided. */
BPF_ARRAY(tickets, u64, 1);
BPF_PERCPU_ARRAY(counters, u64, NR_COUNTERS);
/* Thread group ids: enum membership. */
BPF_HASH(processes, u32, u8, MAX_PROCESSES);

/*
 * What the scope says of a process, whatever else it says.
 * Exempt are the injector and its ancestors; a witness is exempt too, and shows
 * by the calls that it provokes that the hook is alive.
 */
enum membership {
	IN_SCOPE = 1,
	EXEMPT = 2,
	WITNESS = 3,
};

#if SCOPED_BY_CGROUP
/* Ids in the v2 hierarchy: those that the scope names and all that lie below them. */
BPF_HASH(cgroups, u64, u8, MAX_CGROUPS);
#endif

#if SCOPED_BY_COMMAND
struct command {
	char name[TASK_COMM_LEN];
};

BPF_HASH(commands, struct command, u8, MAX_COMMANDS);
#endif

/*
 * As BCC's KMOD_RET, but of the width of a register: a system call returns a long,
 * and the upper half of an int is nobody's.
 */
#define MODIFY_RETURN(function, args...)                                                \
	long kmod_ret__##function(unsigned long long *ctx);                             \
	static __always_inline long modify_##function(unsigned long long *ctx, ##args); \
	long kmod_ret__##function(unsigned long long *ctx)                              \
	{                                                                               \
		return modify_##function(___bpf_ctx_cast(args));                        \
	}                                                                               \
	static __always_inline long modify_##function(unsigned long long *ctx, ##args)
#pragma clang diagnostic ignored "-Wint-conversion" /* ___bpf_ctx_cast() makes pointers of all */

static __always_inline void count(int which)
{
	counters.increment(which);
}

static __always_inline bool in_scope(bool at_hook)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u8 *membership = processes.lookup(&tgid);
#if SCOPED_BY_CGROUP
	u64 cgroup;
#endif

	if (membership) {
		if (at_hook && *membership == WITNESS)
			count(COUNT_PROVOKED);
		return *membership == IN_SCOPE;
	}
#if SCOPED_BY_CGROUP
	cgroup = bpf_get_current_cgroup_id();
	return cgroups.lookup(&cgroup) != NULL;
#else
	return SYSTEM_WIDE;
#endif
}

/*
 * True when the first bytes of both are equal, as KernelChaos and inject.py have it.
 * @wanted: a literal; the caller has seen to it that it has so many bytes.
 */
static __always_inline bool STRNCMP(const void *text, const char *wanted, const int size)
{
	char found[MAX_LITERAL] = {};
	int i;

	if (bpf_probe_read_kernel(found, size, text))
		return false;
#pragma unroll
	for (i = 0; i < MAX_LITERAL; i++)
		if (i < size && found[i] != wanted[i])
			return false;
	return true;
}

/*
 * In a trampoline program the context lies on the stack that the traced call
 * runs on.  Copied through a helper, because the verifier lets no program
 * compare the pointer itself.
 */
static __always_inline u64 position_of(void *ctx)
{
	u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &ctx);
	return address;
}

/* A kretprobe sees the stack after the return; x86 pops the address that lay there. */
#if defined(__x86_64__) || defined(__i386__)
#define RETURN_POSITION(ctx) (PT_REGS_SP(ctx) - sizeof(long))
#else
#define RETURN_POSITION(ctx) PT_REGS_SP(ctx)
#endif

/* An interrupt runs on a stack of its own, on behalf of nobody. */
static __always_inline bool on_own_stack(struct task_struct *task, u64 position)
{
	void *stack = NULL;

	bpf_probe_read_kernel(&stack, sizeof(stack), &task->stack);
	return position - (u64)stack < THREAD_SIZE;
}

static __always_inline bool drawn(void)
{
	return (u64)bpf_get_prandom_u32() < PROBABILITY_OF_2_32;
}

#if NR_FRAMES > 0

struct walk {
	u32 depth;	   /* leading frames that are active, in order */
	u32 chosen;	   /* what was drawn when the outermost was entered */
	u64 at[NR_FRAMES]; /* position of each one's activation */
};

BPF_HASH(walks, u32, struct walk, MAX_THREADS);

/* Forget the activations that lie below a position: they have ended. */
static __always_inline void unwind(struct walk *walk, u64 position)
{
	int i;

#pragma unroll
	for (i = NR_FRAMES - 1; i >= 0; i--)
		if (walk->depth > i && walk->at[i] < position)
			walk->depth = i;
}

static __always_inline void begin_walk(u32 tid, u64 position)
{
	struct walk walk = {};

	walk.depth = 1;
	walk.chosen = drawn();
	walk.at[0] = position;
	if (walks.update(&tid, &walk))
		count(COUNT_UNTRACKED);
}

/*
 * A function of the chain is entered.
 * @named: the frames that name it; @matched: those whose predicate holds.
 */
static __always_inline void enter(u64 position, u32 named, u32 matched)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u32 tid = bpf_get_current_pid_tgid();
	struct walk *walk;
	int i;

	if (!on_own_stack(task, position))
		return;
	walk = walks.lookup(&tid);
	if (!walk) {
		if (matched & 1)
			begin_walk(tid, position);
		return;
	}
	unwind(walk, position);
#pragma unroll
	for (i = 0; i < NR_FRAMES; i++) {
		if (!(named & (1U << i)))
			continue;
		/* Entered anew at the same place: its return was not seen. */
		if (walk->depth == i + 1 && walk->at[i] == position)
			walk->depth = i;
		if (walk->depth != i)
			continue;
		if (matched & (1U << i)) {
			walk->at[i] = position;
			walk->depth = i + 1;
			if (i == 0)
				walk->chosen = drawn();
		}
		break;
	}
}

/* A function of the chain returns to whoever called it. */
static __always_inline void leave(u64 position)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct walk *walk = walks.lookup(&tid);

	if (!walk)
		return;
	unwind(walk, position + 1);
	if (walk->depth == 0)
		walks.delete(&tid);
}

static __always_inline bool chain_active(u64 position, bool *chosen)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct walk *walk = walks.lookup(&tid);

	if (!walk)
		return false;
	unwind(walk, position);
	*chosen = walk->chosen;
	return walk->depth == NR_FRAMES;
}

#else

static __always_inline bool chain_active(u64 position, bool *chosen)
{
	*chosen = drawn();
	return true;
}

#endif /* NR_FRAMES */

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

/* Who leaves takes the books along: the ids will be used again. */
RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u64 id = bpf_get_current_pid_tgid();
	struct signal_struct *signal = NULL;
	u32 tid = id, tgid = id >> 32;
	int live = 0;

#if NR_FRAMES > 0
	walks.delete(&tid);
#endif
	bpf_probe_read_kernel(&signal, sizeof(signal), &task->signal);
	bpf_probe_read_kernel(&live, sizeof(live), &signal->live.counter);
	if (live == 0)
		processes.delete(&tgid);
	return 0;
}

#if !SYSTEM_WIDE
/* Runs before the child does. */
RAW_TRACEPOINT_PROBE(sched_process_fork)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	u32 parent_tgid = bpf_get_current_pid_tgid() >> 32;
	u8 *membership = processes.lookup(&parent_tgid);
	u32 tgid = 0;
	u8 in_scope = IN_SCOPE;

	if (!membership || *membership != IN_SCOPE)
		return 0;
	bpf_probe_read_kernel(&tgid, sizeof(tgid), &child->tgid);
	if (tgid != parent_tgid && processes.update(&tgid, &in_scope))
		count(COUNT_UNTRACKED);
	return 0;
}
#endif /* !SYSTEM_WIDE */

#if SCOPED_BY_COMMAND
/* The task has its new name by now. */
RAW_TRACEPOINT_PROBE(sched_process_exec)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct command command = {};
	u8 in_scope = IN_SCOPE;

	bpf_get_current_comm(&command.name, sizeof(command.name));
	if (!commands.lookup(&command) || processes.lookup(&tgid))
		return 0;
	if (processes.update(&tgid, &in_scope))
		count(COUNT_UNTRACKED);
	return 0;
}
#endif /* SCOPED_BY_COMMAND */

#if SCOPED_BY_CGROUP
static __always_inline u64 id_of(struct cgroup *cgroup)
{
	struct kernfs_node *node = NULL;
	u64 id = 0;

	bpf_probe_read_kernel(&node, sizeof(node), &cgroup->kn);
	bpf_probe_read_kernel(&id, sizeof(id), &node->id);
	return id;
}

/* The other hierarchies number their cgroups by themselves. */
static __always_inline bool in_v2(struct cgroup *cgroup)
{
	struct cgroup_root *root = NULL;
	int hierarchy = -1;

	bpf_probe_read_kernel(&root, sizeof(root), &cgroup->root);
	bpf_probe_read_kernel(&hierarchy, sizeof(hierarchy), &root->hierarchy_id);
	return hierarchy == 0;
}

/* Runs before anybody can move into the new one. */
RAW_TRACEPOINT_PROBE(cgroup_mkdir)
{
	struct cgroup *child = (struct cgroup *)ctx->args[0];
	struct cgroup *parent = NULL;
	u8 in_scope = IN_SCOPE;
	u64 id;

	if (!in_v2(child))
		return 0;
	/* The css that lies first in a cgroup is its own. */
	bpf_probe_read_kernel(&parent, sizeof(parent), &child->self.parent);
	id = id_of(parent);
	if (!cgroups.lookup(&id))
		return 0;
	id = id_of(child);
	if (cgroups.update(&id, &in_scope))
		count(COUNT_UNTRACKED);
	return 0;
}

RAW_TRACEPOINT_PROBE(cgroup_rmdir)
{
	struct cgroup *cgroup = (struct cgroup *)ctx->args[0];
	u64 id = id_of(cgroup);

	if (in_v2(cgroup))
		cgroups.delete(&id);
	return 0;
}
#endif /* SCOPED_BY_CGROUP */
