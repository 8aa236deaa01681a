/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the C of predicates is made of, beside the kernel's types. */

#define MAX_LITERAL 64

/* Macros of the kernel's are not among its types; these are stable. */
#define NULL ((void *)0)
#define MAJOR(device) ((unsigned int)((device) >> 20))
#define MINOR(device) ((unsigned int)((device) & ((1U << 20) - 1)))
#define MKDEV(major, minor) ((major) << 20 | (minor))

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
