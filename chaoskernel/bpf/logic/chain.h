/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Is the call chain active on this thread?  Activations by their place on the kernel stack. */
#ifndef CHAOSKERNEL_LOGIC_CHAIN_H
#define CHAOSKERNEL_LOGIC_CHAIN_H

/* A kretprobe sees the stack after the return; x86 pops the address that lay there. */
#if defined(__TARGET_ARCH_x86)
#define RETURN_POSITION(ctx) (PT_REGS_SP(ctx) - sizeof(long))
#else
#define RETURN_POSITION(ctx) PT_REGS_SP(ctx)
#endif

/* An interrupt runs on a stack of its own, on behalf of nobody. */
static __always_inline bool on_own_stack(struct task_struct *task, u64 position)
{
	return position - (u64)FIELD(task, stack) < stack_size_of(task);
}

static __always_inline bool drawn(void)
{
	return switches.probability_of_2_32 >> 32 ||
	       (u64)bpf_get_prandom_u32() < switches.probability_of_2_32;
}

/*
 * Where the frames that are active lie on a thread's stack.
 *
 * It is followed by stack position: an activation that lies below the position of a later
 * event is known to have ended, even when its return was not seen.  A kretprobe misses
 * returns when too many threads are in its function, so before a chain is believed, it
 * is asked whether what lay on the stack when a frame was entered lies there still.
 *
 * A frame may be a function that holds the lock of a run queue or of a slab, where nothing may
 * be allocated and no other lock is safe to take.  So these lie in an array, and a task claims
 * one of the few that its address hashes to while any of its frames is active.  It is its
 * address, not its id, because a thread that calls exec takes the id of the leader.
 */
struct chaos_walk {
	u64 task;	      /* address of the owner; 0 where there is none */
	u64 depth;	      /* leading frames of the chain that are active, in order */
	u64 chosen;	      /* what was drawn when the outermost was entered */
	u64 entry;	      /* see entry_of() */
	u64 at[MAX_FRAMES];   /* position of each one's activation */
	u64 back[MAX_FRAMES]; /* where it returns to; 0 where that is not known */
};

/* MAX_WALKS of them, where there is a chain. */
MAP(ARRAY, walks, u32, struct chaos_walk, SIZE_OF_WALKS);

/* One of the WAYS places that a task may have. */
static __always_inline struct chaos_walk *place_of(u64 task, u32 way)
{
	u32 slot = (task * GOLDEN_RATIO >> WALKS_SHIFT) + way;

	slot %= MAX_WALKS;
	return find(walks, &slot);
}

/*
 * How many tasks whose address leads here have active frames.  With none, the task at hand is not
 * among them: that is all that most returns of a frame's function have to know.
 */
static __always_inline u32 *busy_of(u64 task)
{
	return &shared()->busy[task >> 6 & (NR_BUSY - 1)]; /* lies at a multiple of 64 */
}

/* Which of its places is the one that a task has claimed?  WAYS: none. */
static __noinline u32 way_of(u64 task)
{
	struct chaos_walk *walk;
	u32 way;

	for (way = 1; way < WAYS; way++) {
		walk = place_of(task, way);
		if (walk && walk->task == task)
			break;
	}
	return way;
}

/* The one that a task with active frames has claimed: the first, as a rule. */
static __always_inline struct chaos_walk *walk_of(u64 task)
{
	struct chaos_walk *walk = place_of(task, 0);
	u32 way;

	if (walk && walk->task == task)
		return walk;
	way = way_of(task);
	return way < WAYS ? place_of(task, way) : NULL;
}

/* One for a task that has none; NULL where others have them all. */
static __always_inline struct chaos_walk *claim_walk(u64 task)
{
	struct chaos_walk *walk;
	u32 way;

#pragma unroll
	for (way = 0; way < WAYS; way++) {
		walk = place_of(task, way);
		if (walk && !__sync_val_compare_and_swap(&walk->task, 0, task)) {
			__sync_fetch_and_add(busy_of(task), 1);
			return walk;
		}
	}
	return NULL;
}

/* Keep how many frames are active: with none, the place is given back. */
static __always_inline void set_depth(struct chaos_walk *walk, u64 task, u64 depth)
{
	walk->depth = depth;
	if (depth)
		return;
	store_in_order(&walk->task, 0);
	__sync_fetch_and_add(busy_of(task), -1);
}

/* Forget the activations that lie below a position: they have ended. */
static __always_inline u64 unwound(struct chaos_walk *walk, u64 position)
{
	u64 depth = walk->depth;
	u32 i;

	for (i = 0; i < MAX_FRAMES; i++) {
		if (!depth || walk->at[(depth - 1) % MAX_FRAMES] >= position)
			break;
		depth--;
	}
	return depth;
}

/* Is the one frame that a function is the next, below all that are active? */
static __always_inline bool in_place(struct chaos_walk *walk, u64 position, u32 named)
{
	u32 i;

#pragma unroll
	for (i = 1; i < MAX_FRAMES; i++)
		if (named == 1U << i)
			return walk->depth == i && walk->at[i - 1] >= position;
	return false;
}

/* entry_of() is the number of the system call that the thread is in; ~0 in an exception. */
#if defined(__TARGET_ARCH_x86)
static __always_inline u64 entry_of(struct task_struct *task)
{
	return REGISTER(task, orig_ax);
}

/* For a kprobe: a function is entered with its return address on top of the stack. */
static __always_inline u64 return_of(u64 position)
{
	u64 address = 0;

	if (switches.return_trampoline)
		bpf_probe_read_kernel(&address, sizeof(address), (void *)position);
	return address;
}
#elif defined(__TARGET_ARCH_arm64)
static __always_inline u64 entry_of(struct task_struct *task)
{
	return (s64)REGISTER(task, syscallno);
}
#define return_of(position) 0
#else
#define entry_of(task) 0
#define return_of(position) 0
#endif

/* A kretprobe that sees the return has put its own address in place of it. */
static __always_inline bool still_there(struct task_struct *task, struct chaos_walk *walk)
{
	u64 back;
	u32 i;

	if (walk->entry != entry_of(task))
		return false;
#pragma unroll
	for (i = 0; i < MAX_FRAMES; i++) {
		if (i >= switches.nr_frames || !walk->back[i])
			continue;
		back = return_of(walk->at[i]);
		if (back != walk->back[i] && back != switches.return_trampoline)
			return false;
	}
	return true;
}

/*
 * A task in scope enters a function of the chain.
 * @back: return_of(position), or 0 where the return is sure to be seen;
 * @named: the frames that name it; @matched: those whose predicate holds.
 */
static __always_inline int follow(struct task_struct *task, u64 address, u64 position, u64 back,
				  u32 named, u32 matched)
{
	struct chaos_counts *counts;
	struct chaos_walk *walk = NULL;
	u64 depth = 0;
	u32 i;

	if (!on_own_stack(task, position))
		return 0;
	counts = here();
	if (!counts)
		return 0;
#pragma unroll
	for (i = 0; i < MAX_FRAMES; i++)
		if (named & (1U << i))
			counts->entered[i]++;
	if (*busy_of(address))
		walk = walk_of(address);
	if (walk) {
		depth = in_place(walk, position, named) ? walk->depth : unwound(walk, position);
	} else if (matched & 1) {
		walk = claim_walk(address);
		if (!walk)
			count(COUNT_UNTRACKED);
	}
	if (!walk)
		return 0;
#pragma unroll
	for (i = 0; i < MAX_FRAMES; i++) {
		if (!(named & (1U << i)))
			continue;
		/* Entered anew at the same place: its return was not seen. */
		if (depth == i + 1 && walk->at[i] == position)
			depth = i;
		if (depth != i)
			continue;
		if (matched & (1U << i)) {
			walk->at[i] = position;
			if (!__builtin_constant_p(back)) /* else it is 0 in all walks */
				walk->back[i] = back;
			depth = i + 1;
			counts->matched[i]++;
			if (i == 0) {
				walk->chosen = drawn();
				walk->entry = entry_of(task);
			}
		}
		break;
	}
	set_depth(walk, address, depth);
	return 0;
}

/* The same of a task that may be in scope, and a function that any frames name. */
static __noinline int enter(u64 id, u64 position, u64 back, u32 named, u32 matched)
{
	if (!in_scope(id >> 32))
		return 0;
	return follow(this_task(), bpf_get_current_task(), position, back, named, matched);
}

/*
 * A function of the chain returns to whoever called it: what lies there or below has ended.
 * As a rule it is the innermost.  An interrupt's stack tells nothing of the thread's.
 */
static __always_inline int leave_by(struct task_struct *task, u64 address, u64 position)
{
	struct chaos_walk *walk = walk_of(address);
	u64 depth = walk ? walk->depth : 0;

	if (!depth)
		return 0;
	if (walk->at[(depth - 1) % MAX_FRAMES] == position)
		set_depth(walk, address, depth - 1);
	else if (on_own_stack(task, position))
		set_depth(walk, address, unwound(walk, position + 1));
	return 0;
}

static __noinline int leave(u64 position)
{
	return leave_by(this_task(), bpf_get_current_task(), position);
}

/* Have all the frames been entered, as far as is known? */
static __always_inline bool may_be_active(void)
{
	u64 task = bpf_get_current_task();
	struct chaos_walk *walk;

	if (switches.nr_frames == 0)
		return true;
	if (!*busy_of(task))
		return false;
	walk = walk_of(task);
	return walk && walk->depth == switches.nr_frames;
}

static __always_inline bool chain_active(struct task_struct *task, u64 position, bool *chosen)
{
	u64 address = bpf_get_current_task(), depth;
	struct chaos_walk *walk;

	if (switches.nr_frames == 0) {
		*chosen = drawn();
		return true;
	}
	walk = walk_of(address);
	if (!walk)
		return false;
	depth = unwound(walk, position);
	*chosen = walk->chosen;
	if (depth == switches.nr_frames) {
		if (still_there(task, walk))
			return true;
		count(COUNT_MISSED_RETURNS);
		depth = 0;
	}
	set_depth(walk, address, depth);
	return false;
}

#endif
