/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What logic/ is written in, for the engine bcc; core.h has the same words for the engine core.
 * The text of a fault comes before this file, as macros; see text.py.
 *
 * BCC rewrites the C that it is given and leaves included files alone.  So what it has to
 * rewrite, which is calls of its maps, is in maps.bcc.c, and all else is plain C here.
 */
#ifndef CHAOSKERNEL_BCC_H
#define CHAOSKERNEL_BCC_H

#include <linux/blk_types.h>
#include <linux/cgroup-defs.h>
#include <linux/gfp.h>
#include <linux/kernfs.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

/* A macro that is none is an error here, and not when the program is loaded. */
#pragma clang diagnostic error "-Wimplicit-function-declaration"

/* BCC loads no functions that are called. */
#undef __noinline
#define __noinline __always_inline

#if defined(__x86_64__) && !defined(__TARGET_ARCH_x86)
#define __TARGET_ARCH_x86
#elif defined(__aarch64__) && !defined(__TARGET_ARCH_arm64)
#define __TARGET_ARCH_arm64
#define TOP_OF_KERNEL_STACK_PADDING 0
#endif

#define KIND_HASH "hash"
#define KIND_ARRAY "array"
#define KIND_PERCPU_ARRAY "percpu_array"

/* maps.bcc.c has the functions. */
#define FLAGGED_MAP(kind, name, key_type, value_type, entries, flags)         \
	BPF_F_TABLE(KIND_##kind, key_type, value_type, name, entries, flags); \
	static value_type *name##_lookup(key_type *key);                      \
	static long name##_update(key_type *key, value_type *value, u64 how); \
	static long name##_delete(key_type *key)
#define MAP(kind, name, key_type, value_type, entries) \
	FLAGGED_MAP(kind, name, key_type, value_type, entries, 0)

#define find(map, key) map##_lookup(key)
#define put(map, key, value, flags) map##_update(key, value, flags)
#define drop(map, key) map##_delete(key)

/* A member of what a pointer leads to: a probe read, because a kprobe's pointers have no types. */
#define FIELD(pointer, member)                                                        \
	({                                                                            \
		__typeof__((pointer)->member) __value;                                \
                                                                                      \
		bpf_probe_read_kernel(&__value, sizeof(__value), &(pointer)->member); \
		__value;                                                              \
	})
#define READ_1(pointer, a) FIELD(pointer, a)
#define READ_2(pointer, a, b) FIELD(READ_1(pointer, a), b)
#define READ_3(pointer, a, b, c) FIELD(READ_2(pointer, a, b), c)
#define READ_4(pointer, a, b, c, d) FIELD(READ_3(pointer, a, b, c), d)
#define READ_OF(a, b, c, d, name, ...) name
#define BPF_CORE_READ(pointer, members...) \
	READ_OF(members, READ_4, READ_3, READ_2, READ_1)(pointer, members)
#define bpf_core_field_offset(type, member) offsetof(type, member)

/* Nothing runs over the tasks that are in control groups already, so each request is asked. */
#define UNMARKED (switches.scope == CHAOS_BY_CGROUP ? CHAOS_BY_GROUP : 0)

#include "logic/state.h"

/* Like the memory of the engine core's object, which its owner sees too. */
FLAGGED_MAP(ARRAY, memory, u32, struct chaos_state, 1, BPF_F_MMAPABLE);

/* An array has its first value; the verifier wants to see what happens if it has not. */
static __always_inline struct chaos_state *shared(void)
{
	u32 zero = 0;
	struct chaos_state *state = find(memory, &zero);

	if (!state) {
		asm volatile("r0 = 0\n\texit");
		__builtin_unreachable();
	}
	return state;
}

static __always_inline struct task_struct *this_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

/* Copied through a helper, because the verifier lets no program compare the pointer itself. */
static __always_inline u64 position_of(void *ctx, struct task_struct *task, u64 of)
{
	u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &ctx);
	return address;
}

static __always_inline u64 stack_size_of(struct task_struct *task)
{
	return THREAD_SIZE;
}

#if defined(__TARGET_ARCH_x86) || defined(__TARGET_ARCH_arm64)
/* The registers with which a thread entered the kernel; X86_FRED leaves room above them. */
static __always_inline struct pt_regs *registers_of(struct task_struct *task)
{
	void *end = FIELD(task, stack) + THREAD_SIZE - TOP_OF_KERNEL_STACK_PADDING;

	return (struct pt_regs *)end - 1;
}
#define REGISTER(task, member) FIELD(registers_of(task), member)
#endif

static __always_inline u64 device_of(struct bio *bio)
{
	return BPF_CORE_READ(bio, bi_bdev, bd_dev);
}

/* The headers do not tell what is in a cache; its members' offsets are 0 where BTF is missing. */
static __always_inline u32 object_size_of(struct kmem_cache *cache, const bool typed)
{
	u32 size = 0;

	if (CACHE_SIZE_OFFSET)
		bpf_probe_read_kernel(&size, sizeof(size), (void *)cache + CACHE_SIZE_OFFSET);
	return size;
}

static __always_inline const char *name_of(struct kmem_cache *cache, const bool typed)
{
	const char *name = NULL;

	if (CACHE_NAME_OFFSET)
		bpf_probe_read_kernel(&name, sizeof(name), (void *)cache + CACHE_NAME_OFFSET);
	return name;
}

/* The cache that the caches themselves are from, by its address. */
static __always_inline bool is_cache_of_caches(struct kmem_cache *cache, const bool typed)
{
	struct kmem_cache *caches = NULL;

	if (BOOTSTRAP_CACHE)
		bpf_probe_read_kernel(&caches, sizeof(caches), (void *)BOOTSTRAP_CACHE);
	return cache == caches;
}

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

/* Entry points ask for predicates by themselves: BCC reads what a parameter leads to. */
#define hook_matches(arguments) true
#define frames_matched(arguments, named) (named)

/* What the engine core alone knows: requests by their masks, files, peers, sites. */
#define is_meant(arguments, hook) true
#define is_in_place(ctx, hook) true
#define callers_at_site(ctx, task, arguments, hook) 0

#endif
