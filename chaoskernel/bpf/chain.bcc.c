// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Is the call chain active on this thread's stack?
 *
 * It is followed by stack position.  When a frame is entered, the address of its
 * activation on the thread's kernel stack is kept; an activation that lies below
 * the position of a later event is known to have ended, even when its return was
 * not seen.  Recursion, a function that is named twice and a probe that is attached
 * in the middle of a call need no case of their own.
 *
 * A kretprobe misses returns when too many threads are in its function at once.  So
 * before a chain is believed, it is asked whether what lay on the stack when a frame
 * was entered lies there still: see still_there().
 */
#define MAX_THREADS 16384

#if NR_FRAMES > 0

struct walk {
	u32 depth;	     /* leading frames that are active, in order */
	u32 chosen;	     /* what was drawn when the outermost was entered */
	u64 at[NR_FRAMES];   /* position of each one's activation */
	u64 back[NR_FRAMES]; /* where it returns to; 0 where that is not known */
	u64 entry;	     /* see entry_of() */
};

/*
 * By the task's address and not by its id: a thread that calls exec and is not the leader
 * takes the leader's id in the middle of it.
 */
BPF_HASH(walks, u64, struct walk, MAX_THREADS);
/* For each frame: calls of its function, then those that took its place in the chain. */
BPF_PERCPU_ARRAY(frames, u64, 2 * NR_FRAMES);

/* Forget the activations that lie below a position: they have ended. */
static __always_inline void unwind(struct walk *walk, u64 position)
{
	int i;

#pragma unroll
	for (i = NR_FRAMES - 1; i >= 0; i--)
		if (walk->depth > i && walk->at[i] < position)
			walk->depth = i;
}

#if defined(__x86_64__)
/* The number of the system call that the thread is in; something else in an exception. */
static __always_inline u64 entry_of(struct task_struct *task)
{
	struct pt_regs *top;
	void *stack = NULL;
	u64 number = 0;

	bpf_probe_read_kernel(&stack, sizeof(stack), &task->stack);
	/* X86_FRED leaves room above them. */
	top = (struct pt_regs *)(stack + THREAD_SIZE - TOP_OF_KERNEL_STACK_PADDING) - 1;
	bpf_probe_read_kernel(&number, sizeof(number), &top->orig_ax);
	return number;
}

/* For a kprobe: a function is entered with its return address on top of the stack. */
static __always_inline u64 return_of(u64 position)
{
	u64 address = 0;

	if (RETURN_TRAMPOLINE)
		bpf_probe_read_kernel(&address, sizeof(address), (void *)position);
	return address;
}
#else
#define entry_of(task) 0
#define return_of(position) 0
#endif

/* A kretprobe that sees the return has put its own address in place of it. */
static __always_inline bool still_there(struct task_struct *task, struct walk *walk)
{
	u64 back;
	int i;

	if (walk->entry != entry_of(task))
		return false;
#pragma unroll
	for (i = 0; i < NR_FRAMES; i++) {
		if (!walk->back[i])
			continue;
		back = return_of(walk->at[i]);
		if (back != walk->back[i] && back != RETURN_TRAMPOLINE)
			return false;
	}
	return true;
}

static __always_inline void begin_walk(u64 key, u64 position, u64 back, u64 entry)
{
	struct walk walk = {};

	walk.depth = 1;
	walk.chosen = drawn();
	walk.at[0] = position;
	walk.back[0] = back;
	walk.entry = entry;
	if (walks.update(&key, &walk))
		count(COUNT_UNTRACKED);
	else
		frames.increment(1);
}

/*
 * A function of the chain is entered.
 * @back: return_of(position), or 0 where the return is sure to be seen;
 * @named: the frames that name it; @matched: those whose predicate holds.
 */
static __always_inline void enter(u64 position, u64 back, u32 named, u32 matched)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u64 key = (u64)task;
	struct walk *walk;
	int i;

	if (!on_own_stack(task, position))
		return;
#pragma unroll
	for (i = 0; i < NR_FRAMES; i++)
		if (named & (1U << i))
			frames.increment(2 * i);
	walk = walks.lookup(&key);
	if (!walk) {
		if (matched & 1)
			begin_walk(key, position, back, entry_of(task));
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
			walk->back[i] = back;
			walk->depth = i + 1;
			frames.increment(2 * i + 1);
			if (i == 0) {
				walk->chosen = drawn();
				walk->entry = entry_of(task);
			}
		}
		break;
	}
}

/* A function of the chain returns to whoever called it. */
static __always_inline void leave(u64 position)
{
	u64 key = bpf_get_current_task();
	struct walk *walk = walks.lookup(&key);

	if (!walk)
		return;
	unwind(walk, position + 1);
	if (walk->depth == 0)
		walks.delete(&key);
}

static __always_inline bool chain_active(struct task_struct *task, u64 position, bool *chosen)
{
	u64 key = (u64)task;
	struct walk *walk = walks.lookup(&key);

	if (!walk)
		return false;
	unwind(walk, position);
	*chosen = walk->chosen;
	if (walk->depth != NR_FRAMES)
		return false;
	if (still_there(task, walk))
		return true;
	count(COUNT_MISSED_RETURNS);
	walks.delete(&key);
	return false;
}

/* The memory of tasks will be used again. */
static __always_inline void forget_walk(struct task_struct *task)
{
	u64 key = (u64)task;

	walks.delete(&key);
}

#else

static __always_inline bool chain_active(struct task_struct *task, u64 position, bool *chosen)
{
	*chosen = drawn();
	return true;
}

static __always_inline void forget_walk(struct task_struct *task)
{
}

#endif /* NR_FRAMES */
