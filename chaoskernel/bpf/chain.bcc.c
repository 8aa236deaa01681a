// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Is the call chain active on this thread's stack?
 *
 * It is followed by stack position.  When a frame is entered, the address of its
 * activation on the thread's kernel stack is kept; an activation that lies below
 * the position of a later event is known to have ended, even when its return was
 * not seen.  Recursion, a function that is named twice and a probe that is attached
 * in the middle of a call need no case of their own.
 */
#define MAX_THREADS 16384

#if NR_FRAMES > 0

struct walk {
	u32 depth;	   /* leading frames that are active, in order */
	u32 chosen;	   /* what was drawn when the outermost was entered */
	u64 at[NR_FRAMES]; /* position of each one's activation */
};

BPF_HASH(walks, u32, struct walk, MAX_THREADS);

/* Forget the activations that lie below a position: they have ended. */
static __always_inline void unwind(struct walk *walk, u64 position)
{
	int i;

#pragma unroll
	for (i = NR_FRAMES - 1; i >= 0; i--)
		if (walk->depth > i && walk->at[i] < position)
			walk->depth = i;
}

static __always_inline void begin_walk(u32 tid, u64 position)
{
	struct walk walk = {};

	walk.depth = 1;
	walk.chosen = drawn();
	walk.at[0] = position;
	if (walks.update(&tid, &walk))
		count(COUNT_UNTRACKED);
}

/*
 * A function of the chain is entered.
 * @named: the frames that name it; @matched: those whose predicate holds.
 */
static __always_inline void enter(u64 position, u32 named, u32 matched)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u32 tid = bpf_get_current_pid_tgid();
	struct walk *walk;
	int i;

	if (!on_own_stack(task, position))
		return;
	walk = walks.lookup(&tid);
	if (!walk) {
		if (matched & 1)
			begin_walk(tid, position);
		return;
	}
	unwind(walk, position);
#pragma unroll
	for (i = 0; i < NR_FRAMES; i++) {
		if (!(named & (1U << i)))
			continue;
		/* Entered anew at the same place: its return was not seen. */
		if (walk->depth == i + 1 && walk->at[i] == position)
			walk->depth = i;
		if (walk->depth != i)
			continue;
		if (matched & (1U << i)) {
			walk->at[i] = position;
			walk->depth = i + 1;
			if (i == 0)
				walk->chosen = drawn();
		}
		break;
	}
}

/* A function of the chain returns to whoever called it. */
static __always_inline void leave(u64 position)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct walk *walk = walks.lookup(&tid);

	if (!walk)
		return;
	unwind(walk, position + 1);
	if (walk->depth == 0)
		walks.delete(&tid);
}

static __always_inline bool chain_active(u64 position, bool *chosen)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct walk *walk = walks.lookup(&tid);

	if (!walk)
		return false;
	unwind(walk, position);
	*chosen = walk->chosen;
	return walk->depth == NR_FRAMES;
}

/* Ids of threads will be used again. */
static __always_inline void forget_walk(u32 tid)
{
	walks.delete(&tid);
}

#else

static __always_inline bool chain_active(u64 position, bool *chosen)
{
	*chosen = drawn();
	return true;
}

static __always_inline void forget_walk(u32 tid)
{
}

#endif /* NR_FRAMES */
