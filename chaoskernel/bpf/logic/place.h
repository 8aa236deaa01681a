/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a call is about, as its arguments tell: which request it is, and which file. */
#ifndef CHAOSKERNEL_LOGIC_PLACE_H
#define CHAOSKERNEL_LOGIC_PLACE_H

/*
 * An argument of a traced function; the verifier wants each one's offset in the instruction,
 * and knows its type then.
 */
#define ARGUMENT(number)                                         \
	case number:                                             \
		asm volatile("%0 = *(u64 *)(%1 + %2)"            \
			     : "=r"(value)                       \
			     : "r"(arguments), "i"((number) * 8) \
			     : "memory");                        \
		return value

static __always_inline void *argument_of(const u64 *arguments, u32 number)
{
	void *value;

	switch (number) {
		ARGUMENT(0);
		ARGUMENT(1);
		ARGUMENT(2);
		ARGUMENT(3);
		ARGUMENT(4);
	}
	return NULL;
}

/* Is a call of a hook the request that the fault is about, as far as its mask tells? */
static __always_inline bool is_meant(const u64 *arguments, u32 hook)
{
	u64 bits = switches.hooks[hook].bits, mask;

	if (!bits)
		return true;
	mask = (u64)argument_of(arguments, switches.hooks[hook].argument);
	return switches.hooks[hook].unless ? !(mask & bits) : mask & bits;
}

/*
 * Files and directories by identity: addresses of dentries that the agent keeps open.  Whoever
 * looks up from a dentry by its parents comes past those of all directories that it lies in.
 */
MAP(HASH, places, u64, u8, MAX_PLACES);

/* The address that a pointer of a known type is; the verifier lets nobody shift the pointer. */
static __always_inline u64 address_of(void *pointer)
{
	u64 distance = (u64)pointer - (u64)bpf_get_current_task_btf();

	asm volatile("" : "+r"(distance));
	return distance + bpf_get_current_task();
}

static __always_inline u32 slot_of_place(u64 address)
{
	return (address >> 6) % NR_PLACES;
}

static __noinline bool is_place(u64 address)
{
	return find(places, &address) != NULL;
}

static __always_inline bool lies_in_place(struct dentry *dentry)
{
	struct dentry *parent;
	u64 address;
	u32 level;

#pragma clang loop unroll(disable)
	for (level = 0; level < MAX_LEVELS; level++) {
		address = address_of(dentry);
		if (state.places[slot_of_place(address)] && is_place(address))
			return true;
		parent = dentry->d_parent;
		if (parent == dentry)
			return false;
		dentry = parent;
	}
	return false;
}

static __always_inline struct dentry *dentry_of(void *argument, u32 subject)
{
	if (subject == SUBJECT_FILE)
		return ((struct file *)argument)->f_path.dentry;
	if (subject == SUBJECT_PATH)
		return ((struct path *)argument)->dentry;
	if (subject == SUBJECT_PROGRAM)
		return ((struct linux_binprm *)argument)->file->f_path.dentry;
	return argument;
}

#endif
