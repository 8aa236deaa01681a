/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Calls of maps, which BCC rewrites: in its own C alone, and in no macro.
 */
static __always_inline struct chaos_state *memory_lookup(u32 *key)
{
	return memory.lookup(key);
}

static __always_inline struct chaos_counts *counts_lookup(u32 *key)
{
	return counts.lookup(key);
}

static __always_inline u16 *cgroups_lookup(u64 *key)
{
	return cgroups.lookup(key);
}

static __always_inline long cgroups_update(u64 *key, u16 *value, u64 how)
{
	return cgroups.update(key, value);
}

static __always_inline long cgroups_delete(u64 *key)
{
	return cgroups.delete(key);
}

static __always_inline u64 *pods_lookup(u32 *key)
{
	return pods.lookup(key);
}

static __always_inline u8 *commands_lookup(struct chaos_command *key)
{
	return commands.lookup(key);
}

static __always_inline struct chaos_walk *walks_lookup(u32 *key)
{
	return walks.lookup(key);
}

static __always_inline struct chaos_event *events_lookup(u32 *key)
{
	return events.lookup(key);
}

static __always_inline struct chaos_hits *hit_lookup(struct chaos_process *key)
{
	return hit.lookup(key);
}

static __always_inline long hit_update(struct chaos_process *key, struct chaos_hits *value, u64 how)
{
	return hit.insert(key, value); /* how is BPF_NOEXIST */
}

static __always_inline struct chaos_walked *walked_lookup(u32 *key)
{
	return walked.lookup(key);
}
