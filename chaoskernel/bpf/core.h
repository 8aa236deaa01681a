/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What logic/ is written in, for the engine core: libbpf's maps, types that are relocated when
 * the object is loaded, and pointers whose types the verifier knows.  bcc.h has the same words
 * for the engine bcc.
 */
#ifndef CHAOSKERNEL_CORE_H
#define CHAOSKERNEL_CORE_H

#ifdef PREDICATES
#include "vmlinux.h"
#else
#include "kernel.h"
#endif
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

/* Macros of the kernel's are not among its types; these are stable. */
#define NULL ((void *)0)
#define MAJOR(device) ((unsigned int)((device) >> 20))
#define MINOR(device) ((unsigned int)((device) & ((1U << 20) - 1)))
#define MKDEV(major, minor) ((major) << 20 | (minor))
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000

/* What a kernel may lack or name otherwise; ___ and what follows is not compared. */
struct task_struct___of_kasan {
	unsigned int kasan_depth;
} __attribute__((preserve_access_index));

struct in6_addr___bytes {
	u8 in6_u[16];
} __attribute__((preserve_access_index));

struct sock_common___with_ipv6 {
	struct in6_addr___bytes skc_v6_daddr;
	struct in6_addr___bytes skc_v6_rcv_saddr;
} __attribute__((preserve_access_index));

struct sock___with_ipv6 {
	struct sock_common___with_ipv6 __sk_common;
} __attribute__((preserve_access_index));

/* With CONFIG_UNIX=m these are in the types of a module, and not in vmlinux.h. */
struct sockaddr_un___of_module {
	u16 sun_family;
} __attribute__((preserve_access_index));

struct unix_address___of_module {
	int len;
	struct sockaddr_un___of_module name[];
} __attribute__((preserve_access_index));

struct unix_sock___of_module {
	struct unix_address___of_module *addr;
	struct path path;
	struct sock *peer;
} __attribute__((preserve_access_index));

struct gendisk___before_5_12 {
	int major;
	int first_minor;
} __attribute__((preserve_access_index));

struct bio___before_5_12 {
	struct gendisk___before_5_12 *bi_disk;
	u8 bi_partno;
} __attribute__((preserve_access_index));

#define FLAGGED_MAP(kind, name, key_type, value_type, entries, flags) \
	struct {                                                      \
		__uint(type, BPF_MAP_TYPE_##kind);                    \
		__uint(map_flags, flags);                             \
		__uint(max_entries, entries);                         \
		__type(key, key_type);                                \
		__type(value, value_type);                            \
	} name SEC(".maps")
#define MAP(kind, name, key_type, value_type, entries) \
	FLAGGED_MAP(kind, name, key_type, value_type, entries, 0)
#define SHARED_MAP(kind, name, key_type, value_type, entries) \
	FLAGGED_MAP(kind, name, key_type, value_type, entries, BPF_F_MMAPABLE)

/* plan.py says how many values these have. */
#define SIZE_OF_WALKS 1
#define SIZE_OF_PODS 1

#define find(map, key) bpf_map_lookup_elem(&(map), key)
#define put(map, key, value, flags) bpf_map_update_elem(&(map), key, value, flags)
#define drop(map, key) bpf_map_delete_elem(&(map), key)

/* A member of what a typed pointer leads to. */
#define FIELD(pointer, member) ((pointer)->member)

/* A task in a control group of the scope is marked: see mark_tasks(). */
#define UNMARKED 0

#include "logic/state.h"

char LICENSE[] SEC("license") = "GPL";

const volatile struct chaos_switches switches SEC(".rodata.switches") = {};

struct chaos_state state = {};

static __always_inline struct chaos_state *shared(void)
{
	return &state;
}

static __always_inline struct task_struct *this_task(void)
{
	return bpf_get_current_task_btf();
}

/*
 * Positions on the thread's kernel stack.  In a trampoline program the context lies
 * on the stack that the traced call runs on; the verifier lets a program compare no
 * pointer, but takes the distance of two for a number.  `address` is that of the task.
 */
static __always_inline u64 position_of(void *ctx, struct task_struct *task, u64 address)
{
	u64 distance = (u64)ctx - (u64)task;

	asm volatile("" : "+r"(distance));
	return distance + address;
}

/* A kernel that watches its own memory (KASAN) doubles its stacks, on x86-64 and on arm64. */
static __always_inline u64 stack_size_of(struct task_struct *task)
{
	struct task_struct___of_kasan *watched = (void *)task;

	return switches.thread_size << bpf_core_field_exists(watched->kasan_depth);
}

/* The registers with which a thread entered the kernel; X86_FRED leaves room above them. */
static __always_inline struct pt_regs *registers_of(struct task_struct *task)
{
	return task->stack + stack_size_of(task) - bpf_core_type_size(struct pt_regs);
}

/* One of those; the verifier knows the type of what the kernel itself finds. */
#define REGISTER(task, member)                                                          \
	(switches.has_task_pt_regs ? ((struct pt_regs *)bpf_task_pt_regs(task))->member \
				   : BPF_CORE_READ(registers_of(task), member))

static __always_inline u64 device_of(struct bio *bio)
{
	struct bio___before_5_12 *old = (void *)bio;

	if (bpf_core_field_exists(bio->bi_bdev))
		return BPF_CORE_READ(bio, bi_bdev, bd_dev);
	return (u64)BPF_CORE_READ(old, bi_disk, major) << 20 |
	       (BPF_CORE_READ(old, bi_disk, first_minor) + BPF_CORE_READ(old, bi_partno));
}

/*
 * A member of an argument of the hook's.  In a trampoline the verifier knows its type, and it is
 * read at once.  `typed` is a constant.
 */
#define MEMBER(pointer, member, typed) \
	((typed) ? (pointer)->member : BPF_CORE_READ(pointer, member))

static __always_inline u32 object_size_of(struct kmem_cache *cache, const bool typed)
{
	return MEMBER(cache, object_size, typed);
}

static __always_inline const char *name_of(struct kmem_cache *cache, const bool typed)
{
	return MEMBER(cache, name, typed);
}

/*
 * The cache that the caches themselves are from; kmem_cache_node is another one.  Where the size
 * of its objects is known, few others have to be asked for their name.
 */
static __always_inline bool is_cache_of_caches(struct kmem_cache *cache, const bool typed)
{
	const char wanted[] = "kmem_cache";
	char name[sizeof(wanted) + 1] = {};
	u32 i;

	if (switches.cache_size && object_size_of(cache, typed) != switches.cache_size)
		return false;
	bpf_probe_read_kernel_str(name, sizeof(name), name_of(cache, typed));
#pragma unroll
	for (i = 0; i < sizeof(wanted); i++)
		if (name[i] != wanted[i])
			return false;
	return true;
}

#ifdef PREDICATES
/* A value of an expression has no array type, which a place in memory may have. */
#define IS_ARRAY(place) !__builtin_types_compatible_p(__typeof__(place), __typeof__(({ place; })))

/*
 * The value of a place in the kernel's memory; an array's is its address, as C has it.
 * No name of a user's begins with two underscores, so that `place` may name a parameter `value`.
 */
#define READ(place)                                                                 \
	({                                                                          \
		__typeof__(({ place; })) __value;                                   \
		if (IS_ARRAY(place))                                                \
			__value = (__typeof__(__value))(u64) & (place);             \
		else                                                                \
			bpf_probe_read_kernel(&__value, sizeof(__value), &(place)); \
		__value;                                                            \
	})
#endif

#endif
