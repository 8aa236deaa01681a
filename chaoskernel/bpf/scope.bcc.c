// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Who is in scope; the tables are kept up to date by the trackers at the end. */
#if SCOPED_BY_CGROUP
#include <linux/cgroup-defs.h>
#include <linux/kernfs.h>
#endif

#define MAX_PROCESSES 16384
#define MAX_CGROUPS 16384
#define MAX_COMMANDS 256

/* Thread group ids: enum membership. */
BPF_HASH(processes, u32, u8, MAX_PROCESSES);

/*
 * What the scope says of a process, whatever else it says.
 * Exempt are the injector and its ancestors; a witness is exempt too, and shows
 * by the calls that it provokes that the hook is alive.
 */
enum membership {
	IN_SCOPE = 1,
	EXEMPT = 2,
	WITNESS = 3,
};

#if SCOPED_BY_CGROUP
/*
 * Ids in one hierarchy: those that the scope names and all that lie below them.
 * Those of the scope's first pod are marked with 1, and so on; others with 0.
 */
BPF_HASH(cgroups, u64, u16, MAX_CGROUPS);

static __always_inline u64 id_of(struct cgroup *cgroup)
{
	struct kernfs_node *node = NULL;
	u64 id = 0;

	bpf_probe_read_kernel(&node, sizeof(node), &cgroup->kn);
	bpf_probe_read_kernel(&id, sizeof(id), &node->id);
	return id;
}

static __always_inline u64 current_cgroup(void)
{
#if CGROUP_HIERARCHY == 0
	return bpf_get_current_cgroup_id();
#else
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct cgroup_subsys_state *state = NULL;
	struct css_set *set = NULL;
	struct cgroup *cgroup = NULL;

	bpf_probe_read_kernel(&set, sizeof(set), &task->cgroups);
	bpf_probe_read_kernel(&state, sizeof(state), &set->subsys[CGROUP_CONTROLLER]);
	bpf_probe_read_kernel(&cgroup, sizeof(cgroup), &state->cgroup);
	return id_of(cgroup);
#endif
}
#endif

#if SCOPED_BY_COMMAND
struct command {
	char name[TASK_COMM_LEN];
};

BPF_HASH(commands, struct command, u8, MAX_COMMANDS);
#endif

static __always_inline bool in_scope(bool at_hook)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u8 *membership = processes.lookup(&tgid);
#if SCOPED_BY_CGROUP
	u64 cgroup;
#endif

	if (membership) {
		if (at_hook && *membership == WITNESS)
			count(COUNT_PROVOKED);
		return *membership == IN_SCOPE;
	}
#if SCOPED_BY_CGROUP
	cgroup = current_cgroup();
	return cgroups.lookup(&cgroup) != NULL;
#else
	return SYSTEM_WIDE;
#endif
}

#if NR_PODS > 0
/* For each pod of the scope: requests that failed, or would have in a dry run. */
BPF_PERCPU_ARRAY(pods, u64, NR_PODS);

static __always_inline void count_pod(void)
{
	u64 cgroup = current_cgroup();
	u16 *pod = cgroups.lookup(&cgroup);

	if (pod && *pod > 0)
		pods.increment(*pod - 1);
}
#else
static __always_inline void count_pod(void)
{
}
#endif

/* Who leaves takes the books along: the ids will be used again. */
RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct signal_struct *signal = NULL;
	int live = 0;

	forget_walk(task);
	bpf_probe_read_kernel(&signal, sizeof(signal), &task->signal);
	bpf_probe_read_kernel(&live, sizeof(live), &signal->live.counter);
	if (live == 0)
		processes.delete(&tgid);
	return 0;
}

#if !SYSTEM_WIDE
/* Runs before the child does. */
RAW_TRACEPOINT_PROBE(sched_process_fork)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	u32 parent_tgid = bpf_get_current_pid_tgid() >> 32;
	u8 *membership = processes.lookup(&parent_tgid);
	u32 tgid = 0;
	u8 in_scope = IN_SCOPE;

	if (!membership || *membership != IN_SCOPE)
		return 0;
	bpf_probe_read_kernel(&tgid, sizeof(tgid), &child->tgid);
	if (tgid != parent_tgid && processes.update(&tgid, &in_scope))
		count(COUNT_UNTRACKED);
	return 0;
}
#endif /* !SYSTEM_WIDE */

#if SCOPED_BY_COMMAND
/* The task has its new name by now. */
RAW_TRACEPOINT_PROBE(sched_process_exec)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct command command = {};
	u8 in_scope = IN_SCOPE;

	bpf_get_current_comm(&command.name, sizeof(command.name));
	if (!commands.lookup(&command) || processes.lookup(&tgid))
		return 0;
	if (processes.update(&tgid, &in_scope))
		count(COUNT_UNTRACKED);
	return 0;
}
#endif /* SCOPED_BY_COMMAND */

#if SCOPED_BY_CGROUP
/* The other hierarchies number their cgroups by themselves. */
static __always_inline bool in_hierarchy(struct cgroup *cgroup)
{
	struct cgroup_root *root = NULL;
	int hierarchy = -1;

	bpf_probe_read_kernel(&root, sizeof(root), &cgroup->root);
	bpf_probe_read_kernel(&hierarchy, sizeof(hierarchy), &root->hierarchy_id);
	return hierarchy == CGROUP_HIERARCHY;
}

/* Runs before anybody can move into the new one. */
RAW_TRACEPOINT_PROBE(cgroup_mkdir)
{
	struct cgroup *child = (struct cgroup *)ctx->args[0];
	struct cgroup *parent = NULL;
	u16 *found, pod;
	u64 id;

	if (!in_hierarchy(child))
		return 0;
	/* The css that lies first in a cgroup is its own. */
	bpf_probe_read_kernel(&parent, sizeof(parent), &child->self.parent);
	id = id_of(parent);
	found = cgroups.lookup(&id);
	if (!found)
		return 0;
	pod = *found;
	id = id_of(child);
	if (cgroups.update(&id, &pod))
		count(COUNT_UNTRACKED);
	return 0;
}

RAW_TRACEPOINT_PROBE(cgroup_rmdir)
{
	struct cgroup *cgroup = (struct cgroup *)ctx->args[0];
	u64 id = id_of(cgroup);

	if (in_hierarchy(cgroup))
		cgroups.delete(&id);
	return 0;
}
#endif /* SCOPED_BY_CGROUP */
