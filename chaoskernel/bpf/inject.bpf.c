// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * A fault's program, compiled once: what a fault asks for is set in `switches` before it
 * is loaded, and what it does not need is dead code to the verifier, which drops it.
 *
 * From above to below: switches and tables; who is in scope; is the call chain active;
 * is this request to fail; and the thin entry points.  A fault with predicates is this
 * file again, with them in between (PREDICATES), on the types of a kernel (vmlinux.h).
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

/* Types and enumerators are named so that those of no kernel clash with them. */

#define MAX_FRAMES 16
#define MAX_HOOKS 12
#define MAX_PLACES 1024
#define MAX_PEERS 64
#define MAX_LEVELS 64 /* of a path, from a file up to the root of its file system */
#define MAX_CGROUPS 16384
#define MAX_COMMANDS 256
#define WAYS 8
#define WALKS_SHIFT 49
#define MAX_WALKS (1 << (64 - WALKS_SHIFT))
#define GOLDEN_RATIO 0x9e3779b97f4a7c15ULL /* of 2^64: what is near each other is spread */
#define MAX_HIT 4096
#define MAX_EVENTS 256
#define MAX_STACK 48
#define MAX_CACHE_NAME 32
#define MAX_PARAMETERS 6
#define COMMAND_LENGTH 16
#define NR_SIEVE (1 << 20)
#define NR_PLACES (1 << 12)
#define NR_IDS (1 << 22) /* PID_MAX_LIMIT of 64-bit kernels */

/* Stable since 4.2 (gfp_types.h) and 2.6 (sched.h); macros are not in BTF. */
#define GFP_NOFAIL 0x8000U
#define UNSPECIFIED 0 /* families of addresses, and kinds of sockets (socket.h, net.h) */
#define UNIX 1
#define IPV4 2
#define IPV6 10
#define DATAGRAM 2
#define UNIX_NAME 108 /* bytes (un.h) */
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000

/* What a kernel may lack or name otherwise; ___ and what follows is not compared. */
struct task_struct___of_kasan {
	unsigned int kasan_depth;
} __attribute__((preserve_access_index));

struct gendisk___before_5_12 {
	int major;
	int first_minor;
} __attribute__((preserve_access_index));

struct bio___before_5_12 {
	struct gendisk___before_5_12 *bi_disk;
	u8 bi_partno;
} __attribute__((preserve_access_index));

char LICENSE[] SEC("license") = "GPL";

/* In the order of program.COUNTERS. */
enum chaos_counter {
	COUNT_REACHED,
	COUNT_MATCHED,
	COUNT_INJECTED,
	COUNT_HELD_PROBABILITY,
	COUNT_HELD_TIMES,
	COUNT_HELD_DEADLINE,
	COUNT_HELD_NOFAIL,
	COUNT_HELD_BOOTSTRAP,
	COUNT_HELD_INTERRUPT,
	COUNT_HELD_KTHREAD,
	COUNT_HELD_EXITING,
	COUNT_HELD_OOM,
	COUNT_HELD_DRY_RUN,
	COUNT_PROVOKED,
	COUNT_MISSED_RETURNS,
	COUNT_UNTRACKED,
	COUNT_UNLISTED,
	NR_COUNTERS,
};

/* What is known of a hook's arguments. */
enum chaos_hook {
	HOOK_SLAB,
	HOOK_PAGE,
	HOOK_BIO,
	HOOK_FUNCTION,
};

/* The type of those arguments of a hook that say which file or peer it is called for. */
enum chaos_subject {
	SUBJECT_NONE,
	SUBJECT_FILE,
	SUBJECT_PATH,
	SUBJECT_DENTRY,
	SUBJECT_PROGRAM,
	SUBJECT_DESTINATION,
	SUBJECT_MESSAGE,
	SUBJECT_SOCKET,
	SUBJECT_SERVER,
	SUBJECT_OWN_NAME,
	SUBJECT_LISTENER,
};

enum chaos_wider_scope {
	CHAOS_SYSTEM_WIDE = 1,
	CHAOS_BY_CGROUP = 2,
};

/* The layouts of this and of what follows are inject.py's too. */
struct chaos_hook_switches {
	s64 value;    /* what it returns to fail */
	u64 bits;     /* if any: a call whose mask has none of them is another request's */
	u32 argument; /* which one is that mask */
	u32 kind;     /* enum chaos_hook */
	u32 subject;  /* enum chaos_subject */
	u32 subjects; /* which arguments are of that type, as bits */
	u32 unless;   /* a call whose mask has one of the bits is the other request's */
	u32 socket;   /* which argument is the socket */
	u32 end;      /* which one tells the end that peers are compared with */
	u32 own_ends; /* that is the socket's own, and not its peer's */
};

/* Addresses are as long as IPv6's; bytes are as they lie in memory. */
struct chaos_peer {
	u32 family; /* 0: any */
	u32 port;   /* 0: any */
	u64 address[2];
	u64 mask[2];
};

struct chaos_switches {
	u64 probability_of_2_32;
	u64 times;
	u64 return_trampoline; /* what a kretprobe puts in place of a return address, or 0 */
	u64 thread_size;       /* bytes of a kernel stack; see stack_size_of() */
	u32 by_place;	       /* only what lies at or below `places` */
	u32 nr_frames;
	u32 named[MAX_FRAMES]; /* by entry point: the frames that name its function */
	u32 scope;	       /* beyond processes: enum chaos_wider_scope */
	u32 cgroup_hierarchy;  /* 0 is v2 */
	u32 cgroup_subsystem;  /* of the v1 hierarchy */
	u32 dry_run;
	u32 has_task_pt_regs; /* Linux 5.15 */
	u32 by_peer;	      /* only what has its end among `peers` and `names` */
	u32 nr_peers;
	u32 padding;
	struct chaos_hook_switches hooks[MAX_HOOKS];
	struct chaos_peer peers[MAX_PEERS];
};

const volatile struct chaos_switches switches SEC(".rodata.switches") = {};

/*
 * What most events need to know is a byte at a place that the program has the address of:
 * a look-up in a hash table takes ten times as many instructions, and everybody whom the
 * kernel asks for memory pays for it.
 */
struct chaos_state {
	u64 deadline;	    /* CLOCK_BOOTTIME, ns; 0 until the fault is armed, and once it is not */
	u64 tickets;	    /* injections handed out; the one place where `times` is decided */
	u64 last_event;	    /* number of the latest */
	u64 learned;	    /* address of a dentry; see learn_place() */
	u64 whole;	    /* what is learned is the root of its file system */
	u8 members[NR_IDS]; /* by thread group: enum chaos_membership */
	u8 depths[NR_IDS];  /* by thread: leading frames of the chain that are active, in order */
	u8 cgroups[NR_SIEVE]; /* by id, modulo: 0 says for sure that none of them is listed */
	u8 places[NR_PLACES]; /* by address, likewise */
};

struct chaos_state state = {};

struct chaos_hook_counts {
	u64 reached;
	u64 matched;
	u64 injected; /* or would have been, in a dry run */
	u64 provoked;
};

struct chaos_counts {
	u64 counters[NR_COUNTERS];
	struct chaos_hook_counts hooks[MAX_HOOKS];
	u64 entered[MAX_FRAMES]; /* calls of a frame's function by tasks in scope */
	u64 matched[MAX_FRAMES]; /* those that took its place in the chain */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct chaos_counts);
} counts SEC(".maps");

static __always_inline struct chaos_counts *here(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&counts, &zero);
}

static __always_inline void count(enum chaos_counter which)
{
	struct chaos_counts *counts = here();

	if (counts)
		counts->counters[which]++;
}

/*
 * What the scope says of a process, whatever else it says.
 * Exempt are the injector and its ancestors; a witness is exempt too, and shows
 * by the calls that it provokes that the hook is alive.
 */
enum chaos_membership {
	CHAOS_IN_SCOPE = 1,
	CHAOS_EXEMPT = 2,
	CHAOS_WITNESS = 3,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CGROUPS);
	__type(key, u64);
	__type(value, u16);
} cgroups SEC(".maps"); /* ids in one hierarchy, with the number of the pod, or 0 */

/* For each pod of the scope: requests that failed, or would have in a dry run. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1); /* core.py says how many */
	__type(key, u32);
	__type(value, u64);
} pods SEC(".maps");

struct chaos_command {
	char name[COMMAND_LENGTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_COMMANDS);
	__type(key, struct chaos_command);
	__type(value, u8);
} commands SEC(".maps");

static __always_inline u8 *membership_of(u32 tgid)
{
	return &state.members[tgid % NR_IDS];
}

static __always_inline u8 *depth_of(u32 tid)
{
	return &state.depths[tid % NR_IDS];
}

static __noinline u64 current_cgroup(void)
{
	struct task_struct *task;
	struct cgroup_subsys_state **states, *own = NULL;

	if (switches.cgroup_hierarchy == 0)
		return bpf_get_current_cgroup_id();
	task = bpf_get_current_task_btf();
	states = (void *)task->cgroups + bpf_core_field_offset(struct css_set, subsys);
	bpf_probe_read_kernel(&own, sizeof(own), states + switches.cgroup_subsystem);
	return BPF_CORE_READ(own, cgroup, kn, id);
}

/* True when the task may be in scope: what it costs is what everybody else pays. */
static __always_inline bool may_be_in_scope(u32 tgid)
{
	u32 scope;

	if (*membership_of(tgid))
		return true;
	scope = switches.scope;
	if (scope == CHAOS_BY_CGROUP)
		return state.cgroups[current_cgroup() % NR_SIEVE];
	return scope == CHAOS_SYSTEM_WIDE;
}

static __always_inline bool in_scope(u32 tgid)
{
	u8 membership = *membership_of(tgid);
	u64 cgroup;

	if (membership)
		return membership == CHAOS_IN_SCOPE;
	if (switches.scope != CHAOS_BY_CGROUP)
		return switches.scope == CHAOS_SYSTEM_WIDE;
	cgroup = current_cgroup();
	return bpf_map_lookup_elem(&cgroups, &cgroup) != NULL;
}

/*
 * Positions on the thread's kernel stack.  In a trampoline program the context lies
 * on the stack that the traced call runs on; the verifier lets a program compare no
 * pointer, but takes the distance of two for a number.
 */
static __always_inline u64 position_of(void *ctx, struct task_struct *task)
{
	u64 distance = (u64)ctx - (u64)task;

	asm volatile("" : "+r"(distance));
	return distance + bpf_get_current_task();
}

/* A kretprobe sees the stack after the return; x86 pops the address that lay there. */
#if defined(__TARGET_ARCH_x86)
#define RETURN_POSITION(ctx) (PT_REGS_SP(ctx) - sizeof(long))
#else
#define RETURN_POSITION(ctx) PT_REGS_SP(ctx)
#endif

/* A kernel that watches its own memory (KASAN) doubles its stacks, on x86-64 and on arm64. */
static __always_inline u64 stack_size_of(struct task_struct *task)
{
	struct task_struct___of_kasan *watched = (void *)task;

	return switches.thread_size << bpf_core_field_exists(watched->kasan_depth);
}

/* An interrupt runs on a stack of its own, on behalf of nobody. */
static __always_inline bool on_own_stack(struct task_struct *task, u64 position)
{
	return position - (u64)task->stack < stack_size_of(task);
}

static __always_inline bool drawn(void)
{
	return (u64)bpf_get_prandom_u32() < switches.probability_of_2_32;
}

/*
 * Where the frames that are active lie on a thread's stack; how many they are is in `depths`.
 *
 * It is followed by stack position: an activation that lies below the position of a later
 * event is known to have ended, even when its return was not seen.  A kretprobe misses
 * returns when too many threads are in its function, so before a chain is believed, it
 * is asked whether what lay on the stack when a frame was entered lies there still.
 *
 * A frame may be a function that holds the lock of a run queue or of a slab, where nothing may
 * be allocated and no other lock is safe to take.  So these lie in an array, and a task claims
 * one of the few that its address hashes to while any of its frames is active.  It is its
 * address, not its id, because a thread that calls exec takes the id of the leader.
 */
struct chaos_walk {
	u64 task;	      /* address of the owner; 0 where there is none */
	u64 chosen;	      /* what was drawn when the outermost was entered */
	u64 entry;	      /* see entry_of() */
	u64 at[MAX_FRAMES];   /* position of each one's activation */
	u64 back[MAX_FRAMES]; /* where it returns to; 0 where that is not known */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_WALKS); /* core.py: 1 where there is no chain */
	__type(key, u32);
	__type(value, struct chaos_walk);
} walks SEC(".maps");

/* One of the WAYS places that a task may have. */
static __always_inline struct chaos_walk *place_of(u64 task, u32 way)
{
	u32 slot = (task * GOLDEN_RATIO >> WALKS_SHIFT) + way;

	slot %= MAX_WALKS;
	return bpf_map_lookup_elem(&walks, &slot);
}

/* The one that a task with active frames has claimed. */
static __always_inline struct chaos_walk *walk_of(u64 task)
{
	struct chaos_walk *walk;
	u32 way;

#pragma unroll
	for (way = 0; way < WAYS; way++) {
		walk = place_of(task, way);
		if (walk && walk->task == task)
			return walk;
	}
	return NULL;
}

/* One for a task that has none; NULL where others have them all. */
static __always_inline struct chaos_walk *claim_walk(u64 task)
{
	struct chaos_walk *walk;
	u32 way;

#pragma unroll
	for (way = 0; way < WAYS; way++) {
		walk = place_of(task, way);
		if (walk && !__sync_val_compare_and_swap(&walk->task, 0, task))
			return walk;
	}
	return NULL;
}

/* Keep how many frames are active: with none, the place is given back. */
static __always_inline void set_depth(u8 *kept, struct chaos_walk *walk, u32 depth)
{
	*kept = depth;
	if (!depth)
		walk->task = 0;
}

/* Forget the activations that lie below a position: they have ended. */
static __always_inline u32 unwound(struct chaos_walk *walk, u32 depth, u64 position)
{
	u32 i;

#pragma unroll
	for (i = MAX_FRAMES; i-- > 0;)
		if (i < switches.nr_frames && depth > i && walk->at[i] < position)
			depth = i;
	return depth;
}

#if defined(__TARGET_ARCH_x86)
/* The number of the system call that the thread is in; something else in an exception. */
static __always_inline u64 entry_of(struct task_struct *task)
{
	struct pt_regs *top;

	/* What lies between them and the end of the stack differs: 16 bytes with X86_FRED. */
	if (switches.has_task_pt_regs)
		top = (void *)bpf_task_pt_regs(task);
	else
		top = task->stack + stack_size_of(task) - bpf_core_type_size(struct pt_regs);
	return BPF_CORE_READ(top, orig_ax);
}

/* For a kprobe: a function is entered with its return address on top of the stack. */
static __always_inline u64 return_of(u64 position)
{
	u64 address = 0;

	if (switches.return_trampoline)
		bpf_probe_read_kernel(&address, sizeof(address), (void *)position);
	return address;
}
#else
#define entry_of(task) 0
#define return_of(position) 0
#endif

/* A kretprobe that sees the return has put its own address in place of it. */
static __always_inline bool still_there(struct task_struct *task, struct chaos_walk *walk)
{
	u64 back;
	u32 i;

	if (walk->entry != entry_of(task))
		return false;
#pragma unroll
	for (i = 0; i < MAX_FRAMES; i++) {
		if (i >= switches.nr_frames || !walk->back[i])
			continue;
		back = return_of(walk->at[i]);
		if (back != walk->back[i] && back != switches.return_trampoline)
			return false;
	}
	return true;
}

/*
 * A function of the chain is entered.
 * @back: return_of(position), or 0 where the return is sure to be seen;
 * @named: the frames that name it; @matched: those whose predicate holds.
 */
static __noinline int enter(u64 id, u64 position, u64 back, u32 named, u32 matched)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u8 *kept = depth_of(id);
	struct chaos_counts *counts = here();
	struct chaos_walk *walk;
	u64 address = bpf_get_current_task();
	u32 depth = *kept, i;

	if (!counts || !in_scope(id >> 32) || !on_own_stack(task, position))
		return 0;
#pragma unroll
	for (i = 0; i < MAX_FRAMES; i++)
		if (named & (1U << i))
			counts->entered[i]++;
	if (!depth && !(matched & 1))
		return 0;
	walk = depth ? walk_of(address) : claim_walk(address);
	if (!walk) {
		count(COUNT_UNTRACKED);
		return 0;
	}
	depth = unwound(walk, depth, position);
#pragma unroll
	for (i = 0; i < MAX_FRAMES; i++) {
		if (!(named & (1U << i)))
			continue;
		/* Entered anew at the same place: its return was not seen. */
		if (depth == i + 1 && walk->at[i] == position)
			depth = i;
		if (depth != i)
			continue;
		if (matched & (1U << i)) {
			walk->at[i] = position;
			walk->back[i] = back;
			depth = i + 1;
			counts->matched[i]++;
			if (i == 0) {
				walk->chosen = drawn();
				walk->entry = entry_of(task);
			}
		}
		break;
	}
	set_depth(kept, walk, depth);
	return 0;
}

/* A function of the chain returns to whoever called it: what lies there or below has ended. */
static __noinline int leave(u32 tid, u64 position)
{
	struct chaos_walk *walk = walk_of(bpf_get_current_task());
	u8 *depth = depth_of(tid);

	if (walk)
		set_depth(depth, walk, unwound(walk, *depth, position + 1));
	return 0;
}

static __always_inline bool chain_active(struct task_struct *task, u64 position, bool *chosen)
{
	u8 *depth = depth_of(task->pid);
	struct chaos_walk *walk;

	if (switches.nr_frames == 0) {
		*chosen = drawn();
		return true;
	}
	walk = walk_of(bpf_get_current_task());
	if (!walk)
		return false;
	set_depth(depth, walk, unwound(walk, *depth, position));
	*chosen = walk->chosen;
	if (*depth != switches.nr_frames)
		return false;
	if (still_there(task, walk))
		return true;
	count(COUNT_MISSED_RETURNS);
	set_depth(depth, walk, 0);
	return false;
}

/* What is kept of each request that fails, or would fail in a dry run; events.py's too. */
struct chaos_event {
	u64 sequence; /* from 1; written last */
	u64 at;	      /* CLOCK_BOOTTIME, ns */
	u64 cgroup;   /* id in the v2 hierarchy */
	u32 pid;
	u32 tid;
	char command[COMMAND_LENGTH];
	u64 arguments[4]; /* see describe() */
	char cache[MAX_CACHE_NAME];
	s64 stack_size; /* bytes */
	u64 stack[MAX_STACK];
	u64 hook;  /* its number */
	u64 begun; /* the same number; written first */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_EVENTS);
	__type(key, u32);
	__type(value, struct chaos_event);
} events SEC(".maps"); /* the latest ones: the slot of a number is the remainder */

struct chaos_process {
	u64 started; /* after boot, ns: ids are used again */
	u64 pid;
};

struct chaos_hits {
	u64 count;
	char command[COMMAND_LENGTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_HIT);
	__type(key, struct chaos_process);
	__type(value, struct chaos_hits);
} hit SEC(".maps");

static __always_inline void count_pod(void)
{
	u64 cgroup, *hits;
	u16 *pod;
	u32 index;

	if (switches.scope != CHAOS_BY_CGROUP)
		return;
	cgroup = current_cgroup();
	pod = bpf_map_lookup_elem(&cgroups, &cgroup);
	if (!pod || !*pod)
		return;
	index = *pod - 1;
	hits = bpf_map_lookup_elem(&pods, &index);
	if (hits)
		(*hits)++;
}

static __always_inline void count_hit(struct task_struct *task)
{
	struct chaos_process process = {.started = task->group_leader->start_time,
					.pid = task->tgid};
	struct chaos_hits first = {}, *hits;

	hits = bpf_map_lookup_elem(&hit, &process);
	if (!hits) {
		bpf_get_current_comm(&first.command, sizeof(first.command));
		bpf_map_update_elem(&hit, &process, &first, BPF_NOEXIST);
		hits = bpf_map_lookup_elem(&hit, &process);
	}
	if (hits)
		__sync_fetch_and_add(&hits->count, 1);
	else
		count(COUNT_UNLISTED);
}

static __always_inline void describe_slab(struct chaos_event *event, const u64 *arguments)
{
	struct kmem_cache *cache = (void *)arguments[0];

	event->arguments[0] = (u32)arguments[1];
	event->arguments[1] = BPF_CORE_READ(cache, object_size);
	bpf_probe_read_kernel_str(event->cache, sizeof(event->cache), BPF_CORE_READ(cache, name));
}

static __always_inline void describe_bio(struct chaos_event *event, const u64 *arguments)
{
	struct bio___before_5_12 *old = (void *)arguments[0];
	struct bio *bio = (void *)arguments[0];

	if (bpf_core_field_exists(bio->bi_bdev))
		event->arguments[0] = BPF_CORE_READ(bio, bi_bdev, bd_dev);
	else
		event->arguments[0] =
			(u64)BPF_CORE_READ(old, bi_disk, major) << 20 |
			(BPF_CORE_READ(old, bi_disk, first_minor) + BPF_CORE_READ(old, bi_partno));
	event->arguments[1] = BPF_CORE_READ(bio, bi_iter.bi_sector);
	event->arguments[2] = BPF_CORE_READ(bio, bi_opf);
	event->arguments[3] = BPF_CORE_READ(bio, bi_iter.bi_size);
}

static __always_inline void describe(struct chaos_event *event, const u64 *arguments, u32 hook)
{
	u32 kind = switches.hooks[hook].kind;

	event->cache[0] = 0;
	event->hook = hook;
	if (kind == HOOK_SLAB) {
		describe_slab(event, arguments);
	} else if (kind == HOOK_PAGE) {
		event->arguments[0] = (u32)arguments[0];
		event->arguments[1] = (u32)arguments[1];
	} else if (kind == HOOK_BIO) {
		describe_bio(event, arguments);
	}
}

/* Take the next slot; readers know by its numbers that it is being written. */
static __always_inline void keep_event(void *ctx, struct task_struct *task, const u64 *arguments,
				       u32 hook)
{
	u64 sequence = __sync_fetch_and_add(&state.last_event, 1) + 1;
	u32 slot = sequence % MAX_EVENTS;
	struct chaos_event *event = bpf_map_lookup_elem(&events, &slot);

	if (!event)
		return;
	event->begun = sequence;
	event->at = bpf_ktime_get_boot_ns();
	event->cgroup = bpf_get_current_cgroup_id();
	event->pid = task->tgid;
	event->tid = task->pid;
	bpf_get_current_comm(&event->command, sizeof(event->command));
	describe(event, arguments, hook);
	event->stack_size = bpf_get_stack(ctx, event->stack, sizeof(event->stack), 0);
	barrier();
	event->sequence = sequence;
}

/* The cache that the caches themselves are from; kmem_cache_node is another one. */
static __always_inline bool is_cache_of_caches(struct kmem_cache *cache)
{
	const char wanted[] = "kmem_cache";
	char name[sizeof(wanted) + 1] = {};
	u32 i;

	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(cache, name));
#pragma unroll
	for (i = 0; i < sizeof(wanted); i++)
		if (name[i] != wanted[i])
			return false;
	return true;
}

/*
 * Overriding the hook replaces its body, and with it the checks that the kernel makes
 * there and in should_fail(): they are made here.  Returned is the counter of the guard that
 * holds the injection back, or NR_COUNTERS.
 */
static __always_inline enum chaos_counter guard_of_request(const u64 *arguments, u32 hook)
{
	u32 kind = switches.hooks[hook].kind;

	if (kind == HOOK_PAGE && arguments[0] & GFP_NOFAIL)
		return COUNT_HELD_NOFAIL;
	if (kind != HOOK_SLAB)
		return NR_COUNTERS;
	if (arguments[1] & GFP_NOFAIL)
		return COUNT_HELD_NOFAIL;
	return is_cache_of_caches((void *)arguments[0]) ? COUNT_HELD_BOOTSTRAP : NR_COUNTERS;
}

static __always_inline enum chaos_counter guard_of_task(struct task_struct *task, u64 position)
{
	u32 flags = task->flags;

	if (!on_own_stack(task, position))
		return COUNT_HELD_INTERRUPT;
	if (flags & PF_KTHREAD)
		return COUNT_HELD_KTHREAD;
	if (task->signal->oom_mm)
		return COUNT_HELD_OOM;
	return flags & PF_EXITING ? COUNT_HELD_EXITING : NR_COUNTERS;
}

static __always_inline bool ticket_left(void)
{
	return switches.times == 0 || __sync_fetch_and_add(&state.tickets, 1) < switches.times;
}

/* What stands in the way of a request that the fault is about; NR_COUNTERS: nothing. */
static __always_inline enum chaos_counter what_holds(struct task_struct *task, u64 position,
						     bool chosen, const u64 *arguments, u32 hook)
{
	enum chaos_counter guard = guard_of_request(arguments, hook);

	if (guard == NR_COUNTERS)
		guard = guard_of_task(task, position);
	if (guard != NR_COUNTERS)
		return guard;
	if (bpf_ktime_get_boot_ns() >= *(volatile u64 *)&state.deadline)
		return COUNT_HELD_DEADLINE;
	if (!chosen)
		return COUNT_HELD_PROBABILITY;
	return ticket_left() ? NR_COUNTERS : COUNT_HELD_TIMES;
}

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

/*
 * An argument of a traced function; the verifier wants each one's offset in the instruction,
 * and knows its type then.
 */
#define ARGUMENT(number)                                         \
	case number:                                             \
		asm volatile("%0 = *(u64 *)(%1 + %2)"            \
			     : "=r"(value)                       \
			     : "r"(arguments), "i"((number) * 8) \
			     : "memory");                        \
		return value

static __always_inline void *argument_of(const u64 *arguments, u32 number)
{
	void *value;

	switch (number) {
		ARGUMENT(0);
		ARGUMENT(1);
		ARGUMENT(2);
		ARGUMENT(3);
		ARGUMENT(4);
	}
	return NULL;
}

/* Is a call of a hook the request that the fault is about, as far as its mask tells? */
static __always_inline bool is_meant(const u64 *arguments, u32 hook)
{
	u64 bits = switches.hooks[hook].bits, mask;

	if (!bits)
		return true;
	mask = (u64)argument_of(arguments, switches.hooks[hook].argument);
	return switches.hooks[hook].unless ? !(mask & bits) : mask & bits;
}

/*
 * Files and directories by identity: addresses of dentries that the agent keeps open.  Whoever
 * looks up from a dentry by its parents comes past those of all directories that it lies in.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PLACES);
	__type(key, u64);
	__type(value, u8);
} places SEC(".maps");

/* The address that a pointer of a known type is; the verifier lets nobody shift the pointer. */
static __always_inline u64 address_of(void *pointer)
{
	u64 distance = (u64)pointer - (u64)bpf_get_current_task_btf();

	asm volatile("" : "+r"(distance));
	return distance + bpf_get_current_task();
}

static __always_inline u32 slot_of_place(u64 address)
{
	return (address >> 6) % NR_PLACES;
}

static __noinline bool is_place(u64 address)
{
	return bpf_map_lookup_elem(&places, &address) != NULL;
}

static __always_inline bool lies_in_place(struct dentry *dentry)
{
	struct dentry *parent;
	u64 address;
	u32 level;

#pragma clang loop unroll(disable)
	for (level = 0; level < MAX_LEVELS; level++) {
		address = address_of(dentry);
		if (state.places[slot_of_place(address)] && is_place(address))
			return true;
		parent = dentry->d_parent;
		if (parent == dentry)
			return false;
		dentry = parent;
	}
	return false;
}

static __always_inline struct dentry *dentry_of(void *argument, u32 subject)
{
	if (subject == SUBJECT_FILE)
		return ((struct file *)argument)->f_path.dentry;
	if (subject == SUBJECT_PATH)
		return ((struct path *)argument)->dentry;
	if (subject == SUBJECT_PROGRAM)
		return ((struct linux_binprm *)argument)->file->f_path.dentry;
	return argument;
}

/*
 * Unix sockets: those in the file system by their dentries, like files; abstract ones by their
 * names.  An address that has not been looked up yet has a name alone.
 */
struct chaos_name {
	u32 length; /* of an abstract one, with its first byte; a path ends with a zero byte */
	char name[UNIX_NAME + sizeof(u32)];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PEERS);
	__type(key, struct chaos_name);
	__type(value, u8);
} names SEC(".maps");

static __noinline bool is_named(u64 place, u32 length)
{
	struct chaos_name found = {};
	long failed;

	if (length == 0 || length > UNIX_NAME)
		return false;
	if (bpf_probe_read_kernel(found.name, 1, (void *)place))
		return false;
	if (found.name[0]) {
		/* The last byte is made a zero, which an address need not have. */
		failed = bpf_probe_read_kernel_str(found.name, length + 1, (void *)place) < 0;
	} else {
		found.length = length;
		failed = bpf_probe_read_kernel(found.name, length, (void *)place);
	}
	return !failed && bpf_map_lookup_elem(&names, &found);
}

static __noinline bool is_unix_peer(u64 address)
{
	struct unix_sock *sock = (void *)address;
	struct unix_address *named;
	u64 dentry;

	if (!sock || !bpf_core_type_exists(struct unix_sock))
		return false;
	dentry = (u64)BPF_CORE_READ(sock, path.dentry);
	if (dentry)
		return state.places[slot_of_place(dentry)] && is_place(dentry);
	named = BPF_CORE_READ(sock, addr);
	return named && is_named((u64)named + bpf_core_field_offset(named->name) + sizeof(u16),
				 BPF_CORE_READ(named, len) - sizeof(u16));
}

/* One end of a socket; the unspecified address is none. */
struct chaos_end {
	u32 family;
	u32 port;
	union {
		u32 words[4];
		u64 address[2];
	};
};

static __always_inline void set_ipv4(struct chaos_end *end, u32 address)
{
	end->family = IPV4;
	end->address[0] = 0;
	end->words[2] = bpf_htonl(0xffff);
	end->words[3] = address;
}

static __always_inline bool is_unspecified(const struct chaos_end *end)
{
	return !end->address[0] && (end->family == IPV4 ? !end->words[3] : !end->address[1]);
}

static __noinline bool is_listed(u32 family, u32 port, u64 high, u64 low)
{
	const volatile struct chaos_peer *peer;
	u32 i;

	if (family == IPV6 && !high && (u32)low == bpf_htonl(0xffff))
		family = IPV4;
#pragma clang loop unroll(disable)
	for (i = 0; i < MAX_PEERS; i++) {
		if (i >= switches.nr_peers)
			return false;
		peer = &switches.peers[i];
		if (peer->port && peer->port != port)
			continue;
		if (peer->family && peer->family != family)
			continue;
		if (!(((high ^ peer->address[0]) & peer->mask[0]) |
		      ((low ^ peer->address[1]) & peer->mask[1])))
			return true;
	}
	return false;
}

static __always_inline bool is_end_listed(const struct chaos_end *end)
{
	return is_listed(end->family, end->port, end->address[0], end->address[1]);
}

/* The beginning of addresses of both families (in.h, in6.h). */
struct chaos_sockaddr {
	u16 family;
	u16 port;
	u32 ipv4; /* of IPv6, its flow */
	u32 ipv6[4];
};

#define LEAST_IPV4 16 /* bytes of an address that the kernel takes */
#define LEAST_IPV6 24

/* In place of a family: another hook is asked, with the socket that the address leads to. */
#define LOOKED_UP ~0U

/*
 * An address of a program's, which the kernel has copied.  To send or to connect to the
 * unspecified address means this host.
 */
static __noinline bool is_address_listed(u64 place, u32 length, u32 family, u32 own)
{
	struct chaos_sockaddr address = {};
	struct chaos_end end = {};

	if (length < sizeof(u16) ||
	    bpf_probe_read_kernel(&address.family, sizeof(u16), (void *)place))
		return false;
	if (address.family == UNIX)
		return family != LOOKED_UP && is_named(place + sizeof(u16), length - sizeof(u16));
	if (length < LEAST_IPV4 || bpf_probe_read_kernel(&address, LEAST_IPV4, (void *)place))
		return false;
	if (address.family == UNSPECIFIED)
		address.family = family;
	end.port = bpf_ntohs(address.port);
	if (address.family == IPV4) {
		set_ipv4(&end, address.ipv4);
		if (!own && is_unspecified(&end))
			end.words[3] = bpf_htonl(0x7f000001);
		return is_end_listed(&end);
	}
	if (address.family != IPV6 || length < LEAST_IPV6 ||
	    bpf_probe_read_kernel(&address, sizeof(address), (void *)place))
		return false;
	end.family = IPV6;
	__builtin_memcpy(end.words, address.ipv6, sizeof(end.words));
	if (!own && is_unspecified(&end))
		end.words[3] = bpf_htonl(1);
	return is_end_listed(&end);
}

/* The end that a socket itself knows: its own, or the one that it is connected to. */
static __noinline bool is_socket_listed(u64 place, u32 own)
{
	struct sock *sock = (void *)place;
	struct chaos_end end = {};
	u32 family = BPF_CORE_READ(sock, __sk_common.skc_family);

	if (family == UNIX && bpf_core_type_exists(struct unix_sock))
		return is_unix_peer(own ? place
					: (u64)BPF_CORE_READ((struct unix_sock *)sock, peer));
	if (own)
		end.port = BPF_CORE_READ(sock, __sk_common.skc_num);
	else
		end.port = bpf_ntohs(BPF_CORE_READ(sock, __sk_common.skc_dport));
	if (family == IPV4) {
		if (own)
			set_ipv4(&end, BPF_CORE_READ(sock, __sk_common.skc_rcv_saddr));
		else
			set_ipv4(&end, BPF_CORE_READ(sock, __sk_common.skc_daddr));
	} else if (family == IPV6 && bpf_core_field_exists(sock->__sk_common.skc_v6_daddr)) {
		end.family = IPV6;
		if (own)
			BPF_CORE_READ_INTO(&end.words, sock, __sk_common.skc_v6_rcv_saddr);
		else
			BPF_CORE_READ_INTO(&end.words, sock, __sk_common.skc_v6_daddr);
	} else {
		return false;
	}
	return (own || !is_unspecified(&end)) && is_end_listed(&end);
}

/* A stream goes where its socket is connected to, whatever address is given with it. */
static __always_inline bool is_message_listed(struct socket *socket, struct msghdr *message)
{
	u64 sock = (u64)BPF_CORE_READ(socket, sk), name = (u64)BPF_CORE_READ(message, msg_name);
	u32 family = BPF_CORE_READ((struct sock *)sock, __sk_common.skc_family);
	u16 to = UNSPECIFIED;

	if (name && BPF_CORE_READ(socket, type) == DATAGRAM)
		bpf_probe_read_kernel(&to, sizeof(to), (void *)name);
	else if (name && family != UNIX &&
		 !BPF_CORE_READ((struct sock *)sock, __sk_common.skc_dport))
		bpf_probe_read_kernel(&to, sizeof(to), (void *)name); /* MSG_FASTOPEN */
	else
		return is_socket_listed(sock, false);
	if (to == UNSPECIFIED && family != IPV4)
		return is_socket_listed(sock, false);
	return is_address_listed(name, BPF_CORE_READ(message, msg_namelen), family, false);
}

/* What an address without a family means. */
static __always_inline u32 family_of_name(struct socket *socket, u32 subject)
{
	u32 family = BPF_CORE_READ(socket, sk, __sk_common.skc_family);

	if (subject == SUBJECT_OWN_NAME)
		return family == IPV4 ? IPV4 : UNSPECIFIED;
	if (family == UNIX && BPF_CORE_READ(socket, type) != DATAGRAM)
		return LOOKED_UP;
	return UNSPECIFIED; /* connect(2) takes it for the end of a connection */
}

/* Has the socket that a hook is called for one of the peers that the fault is about? */
static __noinline bool is_at_peer(u64 *ctx, u32 hook)
{
	u32 subject, own, length;
	struct socket *socket;
	u64 end;

	if (hook >= MAX_HOOKS)
		return false;
	subject = switches.hooks[hook].subject;
	own = switches.hooks[hook].own_ends;
	end = (u64)argument_of(ctx, switches.hooks[hook].end);
	if (subject == SUBJECT_SERVER)
		return is_unix_peer(end);
	socket = argument_of(ctx, switches.hooks[hook].socket);
	if (subject == SUBJECT_MESSAGE)
		return is_message_listed(socket, (void *)end);
	if (subject != SUBJECT_DESTINATION && subject != SUBJECT_OWN_NAME)
		return is_socket_listed((u64)BPF_CORE_READ(socket, sk), own);
	length = (u64)argument_of(ctx, switches.hooks[hook].end + 1);
	return is_address_listed(end, length, family_of_name(socket, subject), own);
}

/* The kernel sends and receives for itself too, on behalf of whoever is on the CPU. */
static __always_inline bool is_kernels_own(u64 *ctx, u32 hook)
{
	u32 subject = switches.hooks[hook].subject;
	struct socket *socket;
	struct sock *sock;

	if (subject != SUBJECT_MESSAGE && subject != SUBJECT_SOCKET)
		return false;
	socket = argument_of(ctx, switches.hooks[hook].socket);
	sock = BPF_CORE_READ(socket, sk);
	return BPF_CORE_READ_BITFIELD_PROBED(sock, sk_kern_sock);
}

/* Is the hook called for a file or a socket that the fault is about? */
static __always_inline bool is_in_place(u64 *ctx, u32 hook)
{
	u32 number;

	if (is_kernels_own(ctx, hook))
		return false;
	if (switches.by_peer)
		return is_at_peer(ctx, hook);
	if (!switches.by_place)
		return true;
#pragma unroll
	for (number = 0; number < 5; number++)
		if (switches.hooks[hook].subjects & 1U << number &&
		    lies_in_place(
			    dentry_of(argument_of(ctx, number), switches.hooks[hook].subject)))
			return true;
	return false;
}

/* A task that may be in scope makes a request: is it, and may its call chain be active? */
static __always_inline bool concerns(u64 id, const u64 *arguments, u32 hook)
{
	struct chaos_counts *counts = here();

	if (!counts || !is_meant(arguments, hook))
		return false;
	if (*membership_of(id >> 32) == CHAOS_WITNESS) {
		counts->counters[COUNT_PROVOKED]++;
		counts->hooks[hook].provoked++;
	}
	if (!in_scope(id >> 32) || !*(volatile u64 *)&state.deadline)
		return false;
	counts->counters[COUNT_REACHED]++;
	counts->hooks[hook].reached++;
	return *depth_of(id) == switches.nr_frames;
}

/*
 * Is such a request to fail?
 * @registers: a kprobe's arguments, or NULL in a trampoline program, whose context has them.
 */
static __always_inline bool fails(void *ctx, const u64 *registers, u32 hook)
{
	const u64 *arguments = registers ?: ctx;
	struct task_struct *task = bpf_get_current_task_btf();
	u64 position = registers ? PT_REGS_SP((struct pt_regs *)ctx) : position_of(ctx, task);
	struct chaos_counts *counts = here();
	bool chosen = false;
	enum chaos_counter held;

	if (!counts || (switches.nr_frames > 0 && !on_own_stack(task, position)))
		return false;
	if (!registers && !is_in_place(ctx, hook))
		return false;
	if (!hook_matches(arguments) || !chain_active(task, position, &chosen))
		return false;
	counts->counters[COUNT_MATCHED]++;
	counts->hooks[hook].matched++;
	held = what_holds(task, position, chosen, arguments, hook);
	if (held != NR_COUNTERS) {
		count(held);
		return false;
	}
	counts->counters[switches.dry_run ? COUNT_HELD_DRY_RUN : COUNT_INJECTED]++;
	counts->hooks[hook].injected++;
	count_hit(task);
	count_pod();
	keep_event(ctx, task, arguments, hook);
	return !switches.dry_run;
}

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
 * A hook is called for every request of every task.  Where the scope is processes alone,
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

	if (*membership_of(bpf_get_current_task_btf()->tgid) != CHAOS_WITNESS || state.learned)
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

/* Runs before the child does. */
SEC("tp_btf/sched_process_fork")
int track_fork(u64 *ctx)
{
	u32 parent = bpf_get_current_pid_tgid() >> 32, child;

	if (*membership_of(parent) != CHAOS_IN_SCOPE)
		return 0;
	child = ((struct task_struct *)ctx[1])->tgid;
	if (child != parent)
		*membership_of(child) = CHAOS_IN_SCOPE;
	return 0;
}

/* The task has its new name by now. */
SEC("tp_btf/sched_process_exec")
int track_exec(u64 *ctx)
{
	u8 *membership = membership_of(bpf_get_current_pid_tgid() >> 32);
	struct chaos_command command = {};

	bpf_get_current_comm(&command.name, sizeof(command.name));
	if (!*membership && bpf_map_lookup_elem(&commands, &command))
		*membership = CHAOS_IN_SCOPE;
	return 0;
}

/* The other hierarchies number their cgroups by themselves. */
static __always_inline bool in_hierarchy(struct cgroup *cgroup)
{
	return (u32)cgroup->root->hierarchy_id == switches.cgroup_hierarchy;
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
	state.cgroups[id % NR_SIEVE] = 1;
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
