// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What the engines are compared with: the least that any BPF program costs on the hook,
 * and the technique of BCC's inject.py with the same books: a kprobe and a kretprobe for
 * each frame, a hash table by thread id, and bpf_override_return.
 */
#include "../../chaoskernel/bpf/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

#define MAX_FRAMES 8

const volatile struct {
	u64 nr_frames;
} chain SEC(".rodata.chain") = {};

/* inject.py's: how deep its functions are nested, and which of them made a frame match. */
struct pid_struct {
	u64 curr_call;
	u64 conds_met;
	u64 stack[MAX_FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, struct pid_struct);
} pid_map SEC(".maps");

SEC("fmod_ret")
long floor_fmod_ret(u64 *ctx)
{
	return 0;
}

SEC("kprobe")
int floor_kprobe(struct pt_regs *ctx)
{
	return 0;
}

/* The least that it costs to see a function being entered, and returning. */
#define FLOOR(n)                       \
	SEC("fentry")                  \
	int floor_fentry_##n(u64 *ctx) \
	{                              \
		return 0;              \
	}                              \
                                       \
	SEC("fexit")                   \
	int floor_fexit_##n(u64 *ctx)  \
	{                              \
		return 0;              \
	}

FLOOR(0)
FLOOR(1)
FLOOR(2)
FLOOR(3)
FLOOR(4)
FLOOR(5)
FLOOR(6)
FLOOR(7)

/* As deep as a site's stack: MAX_STACK of the program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64[64]);
} walked SEC(".maps");

/* What recording a site cannot do without. */
SEC("fmod_ret")
long walk_fmod_ret(u64 *ctx)
{
	u32 zero = 0;
	u64 *stack = bpf_map_lookup_elem(&walked, &zero);

	if (stack)
		bpf_get_stack(ctx, stack, 64 * sizeof(u64), 0);
	return 0;
}

static __always_inline int entered(u32 frame)
{
	struct pid_struct none = {}, *p;
	u32 pid = bpf_get_current_pid_tgid();

	p = bpf_map_lookup_elem(&pid_map, &pid);
	if (!p && frame == 0) {
		bpf_map_update_elem(&pid_map, &pid, &none, BPF_ANY);
		p = bpf_map_lookup_elem(&pid_map, &pid);
	}
	if (!p)
		return 0;
	if (p->conds_met == frame) {
		p->stack[frame] = p->curr_call;
		p->conds_met++;
	}
	p->curr_call++;
	return 0;
}

static __always_inline int left(u32 frame)
{
	u32 pid = bpf_get_current_pid_tgid();
	struct pid_struct *p = bpf_map_lookup_elem(&pid_map, &pid);

	if (!p)
		return 0;
	p->curr_call--;
	if (p->conds_met == frame + 1 && p->stack[frame] == p->curr_call)
		p->conds_met--;
	if (frame == 0 && p->curr_call == 0)
		bpf_map_delete_elem(&pid_map, &pid);
	return 0;
}

#define FRAME(n)                           \
	SEC("kprobe")                      \
	int enter_##n(struct pt_regs *ctx) \
	{                                  \
		return entered(n);         \
	}                                  \
                                           \
	SEC("kretprobe")                   \
	int leave_##n(struct pt_regs *ctx) \
	{                                  \
		return left(n);            \
	}

FRAME(0)
FRAME(1)
FRAME(2)
FRAME(3)
FRAME(4)
FRAME(5)
FRAME(6)
FRAME(7)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} count SEC(".maps");

SEC("kprobe")
int fail(struct pt_regs *ctx)
{
	u32 pid = bpf_get_current_pid_tgid(), zero = 0;
	u32 *overridden = bpf_map_lookup_elem(&count, &zero);
	struct pid_struct *p;

	if (!overridden || *overridden == ~0U)
		return 0;
	if (chain.nr_frames > 0) {
		p = bpf_map_lookup_elem(&pid_map, &pid);
		if (!p || p->conds_met != chain.nr_frames)
			return 0;
	}
	__sync_fetch_and_add(overridden, 1);
	bpf_override_return(ctx, -12);
	return 0;
}
