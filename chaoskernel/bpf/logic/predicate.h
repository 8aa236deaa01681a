/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the C of predicates is made of, beside the kernel's types. */
#ifndef CHAOSKERNEL_LOGIC_PREDICATE_H
#define CHAOSKERNEL_LOGIC_PREDICATE_H

#define MAX_LITERAL 64

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

#endif
