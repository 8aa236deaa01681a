/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is kept of each request that fails, or would fail in a dry run. */
#ifndef CHAOSKERNEL_LOGIC_EVENT_H
#define CHAOSKERNEL_LOGIC_EVENT_H

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
	s64 stack_size; /* bytes; 0: it was not kept */
	u64 stack[MAX_STACK];
	u64 hook;  /* its number */
	u64 begun; /* the same number; written first */
};

/* The latest ones: the slot of a number is the remainder. */
MAP(ARRAY, events, u32, struct chaos_event, MAX_EVENTS);

struct chaos_process {
	u64 started; /* after boot, ns: ids are used again */
	u64 pid;
};

struct chaos_hits {
	u64 count;
	char command[COMMAND_LENGTH];
};

MAP(HASH, hit, struct chaos_process, struct chaos_hits, MAX_HIT);

static __always_inline void count_pod(void)
{
	u64 cgroup, *hits;
	u16 *pod;
	u32 index;

	if (switches.scope != CHAOS_BY_CGROUP)
		return;
	cgroup = current_cgroup();
	pod = find(cgroups, &cgroup);
	if (!pod || !*pod)
		return;
	index = *pod - 1;
	hits = find(pods, &index);
	if (hits)
		(*hits)++;
}

static __always_inline void count_hit(struct task_struct *task)
{
	struct chaos_process process = {.started = FIELD(FIELD(task, group_leader), start_time),
					.pid = FIELD(task, tgid)};
	struct chaos_hits first = {}, *hits;

	hits = find(hit, &process);
	if (!hits) {
		bpf_get_current_comm(&first.command, sizeof(first.command));
		put(hit, &process, &first, BPF_NOEXIST);
		hits = find(hit, &process);
	}
	if (hits)
		__sync_fetch_and_add(&hits->count, 1);
	else
		count(COUNT_UNLISTED);
}

static __always_inline void describe_slab(struct chaos_event *event, const u64 *arguments,
					  const bool typed)
{
	struct kmem_cache *cache = (void *)arguments[0];

	event->arguments[0] = (u32)arguments[1];
	event->arguments[1] = object_size_of(cache, typed);
	bpf_probe_read_kernel_str(event->cache, sizeof(event->cache), name_of(cache, typed));
}

static __always_inline void describe_bio(struct chaos_event *event, const u64 *arguments)
{
	struct bio *bio = (void *)arguments[0];

	event->arguments[0] = device_of(bio);
	event->arguments[1] = BPF_CORE_READ(bio, bi_iter.bi_sector);
	event->arguments[2] = BPF_CORE_READ(bio, bi_opf);
	event->arguments[3] = BPF_CORE_READ(bio, bi_iter.bi_size);
}

static __always_inline void describe(struct chaos_event *event, const u64 *arguments, u32 hook,
				     const bool typed)
{
	u32 kind = switches.hooks[hook].kind;

	event->cache[0] = 0;
	event->hook = hook;
	if (kind == HOOK_SLAB) {
		describe_slab(event, arguments, typed);
	} else if (kind == HOOK_PAGE) {
		event->arguments[0] = (u32)arguments[0];
		event->arguments[1] = (u32)arguments[1];
	} else if (kind == HOOK_BIO) {
		describe_bio(event, arguments);
	}
}

/* @typed: whether the verifier knows the types of the arguments; a constant. */
static __always_inline void write_event(struct chaos_event *event, struct task_struct *task,
					u64 now, const u64 *arguments, u32 hook, const bool typed)
{
	event->at = now;
	event->cgroup = bpf_get_current_cgroup_id();
	event->pid = FIELD(task, tgid);
	event->tid = FIELD(task, pid);
	bpf_get_current_comm(&event->command, sizeof(event->command));
	describe(event, arguments, hook, typed);
}

static __always_inline void write_stack(void *ctx, struct chaos_event *event)
{
	event->stack_size = bpf_get_stack(ctx, event->stack, sizeof(event->stack), 0);
}

/*
 * Is the stack of a request kept, which costs ten times all else?  With a sample, those of the
 * first requests are, and that of the first one of each sort, as far as can be told without the
 * stack: by the hook, the entry to the kernel, how deep it is on the stack, and what is asked for.
 * Sorts that share a place take turns there, at worst.
 */
static __always_inline bool keeps_stack(const struct chaos_event *event, struct task_struct *task,
					u64 position, u32 hook)
{
	u64 sort, number = event->begun;
	u32 kind, *met;

	if (switches.stacks != STACKS_SAMPLE)
		return switches.stacks == STACKS_ALL;
	sort = (entry_of(task) * MAX_HOOKS + hook) * GOLDEN_RATIO;
	sort ^= (position - (u64)FIELD(task, stack)) >> 8;
	kind = switches.hooks[hook].kind;
	if (kind == HOOK_SLAB || kind == HOOK_PAGE)
		sort = sort * GOLDEN_RATIO ^ event->arguments[0] ^ event->arguments[1] << 32;
	sort *= GOLDEN_RATIO;
	met = &shared()->sorts[sort >> SORT_SHIFT];
	if (*met == ((u32)sort | 1))
		return number <= NR_WHOLE || number * GOLDEN_RATIO >> SAMPLE_SHIFT == 0;
	*met = (u32)sort | 1;
	return true;
}

/* Take the next slot; readers know by its numbers that it is being written. */
static __always_inline void keep_event(void *ctx, struct task_struct *task, u64 position, u64 now,
				       const u64 *arguments, u32 hook, const bool typed)
{
	u64 sequence = __sync_fetch_and_add(&shared()->last_event, 1) + 1;
	u32 slot = sequence % MAX_EVENTS;
	struct chaos_event *event = find(events, &slot);

	if (!event)
		return;
	store_in_order(&event->begun, sequence);
	write_event(event, task, now, arguments, hook, typed);
	if (keeps_stack(event, task, position, hook))
		write_stack(ctx, event);
	else
		event->stack_size = 0;
	store_in_order(&event->sequence, sequence);
}

#endif
