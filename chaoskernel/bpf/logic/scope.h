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
	CHAOS_LISTED = 3, /* the bits of those above */

	/*
	 * A bit beside them: a thread of it may be in a control group of the scope, and each
	 * request is asked from which group it comes.  Threads of one process may be in
	 * different groups, and one that leaves them need not be noticed.
	 */
	CHAOS_BY_GROUP = 4,
};

/* Ids in one hierarchy, with the number of the pod, or 0. */
MAP(HASH, cgroups, u64, u16, MAX_CGROUPS);

/* For each pod of the scope: requests that failed, or would have in a dry run. */
MAP(PERCPU_ARRAY, pods, u32, u64, SIZE_OF_PODS);

struct chaos_command {
	char name[COMMAND_LENGTH];
};

MAP(HASH, commands, struct chaos_command, u8, MAX_COMMANDS);

static __always_inline u8 *membership_of(u32 tgid)
{
	return &shared()->members[tgid % NR_IDS];
}

static __always_inline u8 listed_as(u32 tgid)
{
	return *membership_of(tgid) & CHAOS_LISTED;
}

/*
 * The word that has the byte of a process, and that byte's place in it.  Of 8 bytes: the clang
 * that BCC brings has no shorter atomic operations.
 */
static __always_inline u64 *word_of(u32 tgid)
{
	return (u64 *)&shared()->members[tgid % NR_IDS & ~7U];
}

static __always_inline u64 by_group_in_word(u32 tgid)
{
	return (u64)CHAOS_BY_GROUP << (tgid % 8 * 8); /* bytes of a word: the lowest first */
}

/* Atomic, because another CPU may list the same process in the meantime. */
static __always_inline void mark_by_group(u32 tgid)
{
	__sync_fetch_and_or(word_of(tgid), by_group_in_word(tgid));
}

static __always_inline void unmark_by_group(u32 tgid)
{
	__sync_fetch_and_and(word_of(tgid), ~by_group_in_word(tgid));
}

/* A task's control group in the hierarchy that the scope names groups of. */
static __always_inline u64 cgroup_of(struct task_struct *task)
{
	struct cgroup_subsys_state **states, *own = NULL;
	struct css_set *set = FIELD(task, cgroups);

	if (switches.cgroup_hierarchy == 0)
		return BPF_CORE_READ(set, dfl_cgrp, kn, id);
	states = (void *)set + bpf_core_field_offset(struct css_set, subsys);
	bpf_probe_read_kernel(&own, sizeof(own), states + switches.cgroup_subsystem);
	return BPF_CORE_READ(own, cgroup, kn, id);
}

static __noinline u64 current_cgroup(void)
{
	if (switches.cgroup_hierarchy == 0)
		return bpf_get_current_cgroup_id();
	return cgroup_of(this_task());
}

static __always_inline bool in_listed_group(u64 cgroup)
{
	return find(cgroups, &cgroup) != NULL;
}

/* True when the task may be in scope: what it costs is what everybody else pays. */
static __always_inline bool may_be_in_scope(u32 tgid)
{
	return *membership_of(tgid) || UNMARKED || switches.scope == CHAOS_SYSTEM_WIDE;
}

static __always_inline bool in_scope(u32 tgid)
{
	u8 membership = *membership_of(tgid) | UNMARKED;

	if (membership & CHAOS_LISTED)
		return (membership & CHAOS_LISTED) == CHAOS_IN_SCOPE;
	if (membership & CHAOS_BY_GROUP)
		return in_listed_group(current_cgroup());
	return switches.scope == CHAOS_SYSTEM_WIDE;
}

#endif
