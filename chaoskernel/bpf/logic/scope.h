/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Who is in scope: processes, control groups, commands. */
#ifndef CHAOSKERNEL_LOGIC_SCOPE_H
#define CHAOSKERNEL_LOGIC_SCOPE_H

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

#endif
