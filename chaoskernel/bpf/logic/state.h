/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a fault switches, and what its program keeps: limits, counters, shared memory. */
#ifndef CHAOSKERNEL_LOGIC_STATE_H
#define CHAOSKERNEL_LOGIC_STATE_H

/* Types and enumerators are named so that those of no kernel clash with them. */

/* Enumerators, so that the object tells them: abi.py is made from it. */
enum chaos_limit {
	MAX_FRAMES = 16,
	MAX_HOOKS = 12,
	MAX_PLACES = 1024,
	MAX_PEERS = 64,
	MAX_LEVELS = 64, /* of a path, from a file up to the root of its file system */
	MAX_CGROUPS = 16384,
	MAX_COMMANDS = 256,
	WAYS = 8,
	WALKS_SHIFT = 49,
	MAX_WALKS = (1 << (64 - WALKS_SHIFT)),
	MAX_HIT = 4096,
	MAX_EVENTS = 256,
	MAX_STACK = 64,
	MAX_SITES = 4096,
	MAX_FAILED = 2,
	MAX_UNDONE = 3,
	MAX_NEAR = 12,
	NR_CALLS = 512, /* system calls have numbers below */
	MAX_CALLS = 4096,
	NR_NAMES = 10,
	NAME_LENGTH = 48,
	NR_TEXT = 128,
	SITE_SHIFT = 24, /* a site's id is the 40 bits above */
	MAX_CACHE_NAME = 32,
	MAX_PARAMETERS = 6,
	COMMAND_LENGTH = 16,
	NR_PLACES = (1 << 12),
	NR_BUSY = (1 << 12),
	NR_CLEANING = (1 << 10),
	SORT_SHIFT = 54, /* what tells sorts of requests apart is above */
	NR_SORTS = (1 << (64 - SORT_SHIFT)),
	NR_WHOLE = 64,		   /* of a sample: the first events all have their stacks, */
	SAMPLE_SHIFT = 60,	   /* and one in 16 of the others */
	NR_WALKED = 64,		   /* stacks that may be looked at in one moment */
	NR_TEXT_PAGES = (1 << 19), /* of 4 kB: modules are no farther from the kernel */
	NR_IDS = (1 << 22),	   /* PID_MAX_LIMIT of 64-bit kernels */
};

#define GOLDEN_RATIO 0x9e3779b97f4a7c15ULL /* of 2^64: what is near each other is spread */

/* Stable since 4.2 (gfp_types.h); macros are not in BTF. */
#define GFP_NOFAIL 0x8000U
#define UNSPECIFIED 0 /* families of addresses, and kinds of sockets (socket.h, net.h) */
#define UNIX 1
#define IPV4 2
#define IPV6 10
#define DATAGRAM 2
#define UNIX_NAME 108  /* bytes (un.h) */
#define S_IFMT 0170000 /* stat.h */
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFIFO 0010000

/* abi.COUNTERS has the names. */
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
	COUNT_HELD_SITE,
	COUNT_UNLISTED_SITES,
	COUNT_HELD_PAGE_FAULT,
	COUNT_PAGE_FAULTS,
	COUNT_HELD_CLEANUP,
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

/* Whose stacks are kept: that of each request that fails, of the first ones and some, or none. */
enum chaos_stacks {
	STACKS_ALL,
	STACKS_SAMPLE,
	STACKS_NONE,
};

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

/* Where a function lies; of one that is not there, the size is 0. */
struct chaos_function {
	u64 begin;
	u64 size;
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
	u32 by_site;	  /* sites are recorded, and those alone fail that state.failed names */
	u64 text;	  /* where NR_TEXT_PAGES begin; see place_in_text() */
	u64 system_calls; /* address of the table of their entry points, or 0 */
	struct chaos_function page_fault; /* handle_mm_fault(); else they are not told apart */
	struct chaos_function undone[MAX_UNDONE]; /* what must not fail; the first ones */
	u32 hold_page_faults;
	u32 stacks;	/* enum chaos_stacks */
	u32 cache_size; /* of the objects that caches are, or 0: see is_cache_of_caches() */
	struct chaos_hook_switches hooks[MAX_HOOKS];
	struct chaos_peer peers[MAX_PEERS];
};

/*
 * What most events need to know is a byte at a place that the program has the address of:
 * a look-up in a hash table takes ten times as many instructions, and everybody whom the
 * kernel asks for memory pays for it.
 */
struct chaos_failed {
	u64 site;     /* its key above SITE_SHIFT */
	u64 entry;    /* see entry_of(): requests that come by another one are not of that site */
	u64 first;    /* the first request that fails, from 1 on; 0: none does */
	u64 last;     /* the last one */
	u64 requests; /* so far */
	u64 injected; /* of those */
};

struct chaos_state {
	u64 deadline;	/* CLOCK_BOOTTIME, ns; 0 until the fault is armed, and once it is not */
	u64 tickets;	/* injections handed out; the one place where `times` is decided */
	u64 last_event; /* number of the latest */
	u64 learned;	/* address of a dentry; see learn_place() */
	u64 whole;	/* what is learned is the root of its file system */
	u64 phase;	/* a bit for what the program is doing, as its owner says */
	u64 phases;	/* requests fail in these */
	u64 described;	/* sites so far, which tells the owner when to look for new ones */
	u64 cleanups;	/* `cleaning` is kept; else each request's stack tells */
	u64 sparing;	/* look at no more requests than it takes to fail, until one has failed */
	struct chaos_failed failed[MAX_FAILED];
	u32 busy[NR_BUSY]; /* by the address of a task: how many of those are in the chain */
	u32 cleaning[NR_CLEANING]; /* likewise: how many of those are in what must not fail */
	u32 sorts[NR_SORTS]; /* what was met last of the sorts that share a place; see keeps_stack()
			      */
	u8 members[NR_IDS];  /* by thread group: enum chaos_membership */
	u8 places[NR_PLACES]; /* by address: 0 says for sure that none of them is listed */
};

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
	u64 near[MAX_NEAR];	 /* system calls that are near the fault's, by tasks in scope */
};

MAP(PERCPU_ARRAY, counts, u32, struct chaos_counts, 1);

/*
 * Store a value such that whoever sees it on another CPU sees all that was stored before, and
 * nothing that is stored after.  x86-64 keeps stores in their order, arm64 does not; of what BPF
 * has, the atomic operations that return something order memory there (kernel, atomic_t.txt).
 * Between two CPUs that store at the same time, one of the stores is lost.
 */
static __always_inline void store_in_order(u64 *place, u64 value)
{
#if defined(__TARGET_ARCH_arm64)
	__sync_val_compare_and_swap(place, *(volatile u64 *)place, value);
#else
	barrier();
	*(volatile u64 *)place = value;
	barrier();
#endif
}

static __always_inline struct chaos_counts *here(void)
{
	u32 zero = 0;

	return find(counts, &zero);
}

static __always_inline void count(enum chaos_counter which)
{
	struct chaos_counts *counts = here();

	if (counts)
		counts->counters[which]++;
}

#endif
