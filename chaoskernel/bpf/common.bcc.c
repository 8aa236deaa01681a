// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What the parts of a fault's program share, in the C that BCC compiles.
 *
 * program.py makes one text of: the switches of a fault, this file, chain, scope,
 * decide, and the thin entry points: one for the hook, two for each function of the
 * call chain.
 */
#include <linux/sched.h>
#include <linux/sched/signal.h>

/* A macro that is none is an error here, and not when the program is loaded. */
#pragma clang diagnostic error "-Wimplicit-function-declaration"

#define MAX_LITERAL 64

BPF_PERCPU_ARRAY(counters, u64, NR_COUNTERS);

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

/* CLOCK_BOOTTIME, ns.  Before 5.8, less the time that the host is suspended from now on. */
static __always_inline u64 now(void)
{
#ifdef SUSPENDED
	return bpf_ktime_get_ns() + SUSPENDED;
#else
	/* bpf_ktime_get_boot_ns, which BCC before 0.15 does not declare. */
	static u64 (*const clock)(void) = (void *)125;

	return clock();
#endif
}

static __always_inline bool drawn(void)
{
	return (u64)bpf_get_prandom_u32() < PROBABILITY_OF_2_32;
}
