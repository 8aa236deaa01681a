// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What is kept of each request that fails, or would fail in a dry run. */
#if HOOK_BIO
#include <linux/blk_types.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 12, 0)
#include <linux/genhd.h>
#endif
#endif

#define MAX_EVENTS 256
#define MAX_STACK 64
#define MAX_CACHE_NAME 32

/* The layout is events.py's too. */
struct event {
	u64 sequence; /* from 1; written last */
	u64 at;	      /* CLOCK_BOOTTIME, ns */
	u64 cgroup;   /* id in the v2 hierarchy */
	u32 pid;
	u32 tid;
	char command[TASK_COMM_LEN];
	u64 arguments[4]; /* see describe() */
	char cache[MAX_CACHE_NAME];
	s64 stack_size; /* bytes */
	u64 stack[MAX_STACK];
	u64 hook;  /* its number: there is one */
	u64 begun; /* the same number; written first */
};

/* The latest ones: the slot of a number is the remainder. */
BPF_ARRAY(events, struct event, MAX_EVENTS);
BPF_ARRAY(last_event, u64, 1);

struct process {
	u64 started; /* after boot, ns: ids are used again */
	u64 pid;
};

struct hits {
	u64 count;
	char command[TASK_COMM_LEN];
};

BPF_HASH(hit, struct process, struct hits, MAX_HIT);

static __always_inline void count_hit(struct task_struct *task)
{
	struct process process = {.pid = bpf_get_current_pid_tgid() >> 32};
	struct task_struct *leader = NULL;
	struct hits first = {}, *hits;

	bpf_probe_read_kernel(&leader, sizeof(leader), &task->group_leader);
	bpf_probe_read_kernel(&process.started, sizeof(process.started), &leader->start_time);
	hits = hit.lookup(&process);
	if (!hits) {
		bpf_get_current_comm(&first.command, sizeof(first.command));
		hit.insert(&process, &first);
		hits = hit.lookup(&process);
	}
	if (hits)
		__sync_fetch_and_add(&hits->count, 1);
	else
		count(COUNT_UNLISTED);
}

#if HOOK_SLAB
static __always_inline void describe(struct event *event, struct kmem_cache *s, gfp_t gfpflags)
{
#if CACHE_NAME_OFFSET
	const char *name = NULL;
	u32 size = 0;

	bpf_probe_read_kernel(&name, sizeof(name), (void *)s + CACHE_NAME_OFFSET);
	bpf_probe_read_kernel_str(event->cache, sizeof(event->cache), name);
	bpf_probe_read_kernel(&size, sizeof(size), (void *)s + CACHE_SIZE_OFFSET);
	event->arguments[1] = size;
#endif
	event->arguments[0] = gfpflags;
}
#elif HOOK_PAGE
static __always_inline void describe(struct event *event, gfp_t gfp_mask, unsigned int order)
{
	event->arguments[0] = gfp_mask;
	event->arguments[1] = order;
}
#elif HOOK_BIO
static __always_inline void describe(struct event *event, struct bio *bio)
{
	u32 major_minor = 0, operation = 0, size = 0;
	u64 sector = 0;
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 12, 0)
	struct gendisk *disk = NULL;
	int major = 0, minor = 0;
	u8 partition = 0;

	bpf_probe_read_kernel(&disk, sizeof(disk), &bio->bi_disk);
	bpf_probe_read_kernel(&major, sizeof(major), &disk->major);
	bpf_probe_read_kernel(&minor, sizeof(minor), &disk->first_minor);
	bpf_probe_read_kernel(&partition, sizeof(partition), &bio->bi_partno);
	major_minor = MKDEV(major, minor + partition);
#else
	struct block_device *device = NULL;

	bpf_probe_read_kernel(&device, sizeof(device), &bio->bi_bdev);
	bpf_probe_read_kernel(&major_minor, sizeof(major_minor), &device->bd_dev);
#endif
	bpf_probe_read_kernel(&sector, sizeof(sector), &bio->bi_iter.bi_sector);
	bpf_probe_read_kernel(&size, sizeof(size), &bio->bi_iter.bi_size);
	bpf_probe_read_kernel(&operation, sizeof(operation), &bio->bi_opf);
	event->arguments[0] = major_minor;
	event->arguments[1] = sector;
	event->arguments[2] = operation;
	event->arguments[3] = size;
}
#else
static __always_inline void describe(struct event *event)
{
}
#endif

/* Take the next slot; readers know by its numbers that it is being written. */
static __always_inline struct event *begin_event(void *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), sequence;
	int zero = 0, slot;
	struct event *event;
	u64 *last;

	last = last_event.lookup(&zero);
	if (!last)
		return NULL;
	sequence = __sync_fetch_and_add(last, 1) + 1;
	slot = sequence % MAX_EVENTS;
	event = events.lookup(&slot);
	if (!event)
		return NULL;
	event->begun = sequence;
	event->at = now();
	event->cgroup = bpf_get_current_cgroup_id();
	event->pid = id >> 32;
	event->tid = id;
	bpf_get_current_comm(&event->command, sizeof(event->command));
	event->stack_size = bpf_get_stack(ctx, event->stack, sizeof(event->stack), 0);
	return event;
}

static __always_inline void end_event(struct event *event)
{
	barrier();
	event->sequence = event->begun;
}
