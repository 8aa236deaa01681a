/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Sites: a hook and the kernel's stack there.  They are recorded, and fail one at a time. */
#ifndef CHAOSKERNEL_LOGIC_SITE_H
#define CHAOSKERNEL_LOGIC_SITE_H

/*
 * For each page of the kernel's text and of its modules', a number that is the same in every
 * boot: what has the text, and how far the page is from where that begins.  0 where there is
 * none, as in trampolines and programs, which lie between the modules.
 */
SHARED_MAP(ARRAY, text, u32, u64, NR_TEXT_PAGES);

struct chaos_site {
	u64 key;      /* 0 where the place is free; claimed first */
	u64 count;    /* requests */
	u64 phases;   /* those in which they came */
	u64 entry;    /* see entry_of(): of the first request */
	u64 others;   /* requests came by other entries, too */
	u64 call;     /* address of the system call's entry point, or 0 */
	u64 callers;  /* enum chaos_caller: all requests here have the same stack */
	u64 complete; /* written last; never where requests must not fail */
	struct chaos_event first;
};

SHARED_MAP(ARRAY, sites, u32, struct chaos_site, MAX_SITES);

/* An address as it is in every boot; 0 outside the kernel's text. */
static __always_inline u64 place_in_text(u64 address)
{
	u64 page = (address - switches.text) >> 12, *number;
	u32 index = page;

	if (page >= NR_TEXT_PAGES)
		return 0;
	number = find(text, &index);
	return number && *number ? *number << 12 | (address & 0xfff) : 0;
}

/* What identifies the stack of a request; 0 where it cannot be looked at. */
static __always_inline u64 key_of_stack(void *ctx)
{
	struct chaos_walked *mine = take_walked();
	u64 key = 0, place;
	s64 size;
	u32 i;

	if (!mine)
		return 0;
	size = bpf_get_stack(ctx, mine->stack, sizeof(mine->stack), 0);
	for (i = 0; i < MAX_STACK && (s64)(i * sizeof(u64)) < size; i++) {
		place = place_in_text(mine->stack[i]);
		if (!place)
			continue;
		key = (key ^ place) * GOLDEN_RATIO;
		key ^= key >> 29;
	}
	give_back(mine);
	return key;
}

static __always_inline void describe_site(void *ctx, struct chaos_site *site,
					  struct task_struct *task, const u64 *arguments, u32 hook)
{
	u64 entry = entry_of(task);
	u32 callers;

	write_event(&site->first, task, bpf_ktime_get_boot_ns(), arguments, hook, false);
	write_stack(ctx, &site->first);
	site->entry = entry;
	if (switches.system_calls && entry < 1024)
		bpf_probe_read_kernel(&site->call, sizeof(site->call),
				      (void *)(switches.system_calls + entry * sizeof(u64)));
	callers = callers_possible(task, true) &
		  callers_in(site->first.stack, site->first.stack_size);
	*(volatile u64 *)&site->callers = callers | CALLERS_KNOWN;
	store_in_order(&site->complete, !(callers & CALLER_UNDONE));
	__sync_fetch_and_add(&state.described, 1);
}

/* The place of a site, claimed where it is new; NULL where others have all that it may have. */
static __always_inline struct chaos_site *place_of_site(u64 key, bool *is_new)
{
	struct chaos_site *site;
	u32 way, slot;
	u64 kept;

	for (way = 0; way < 4 * WAYS; way++) {
		slot = (u32)((key >> 52) + way) % MAX_SITES;
		site = find(sites, &slot);
		if (!site)
			return NULL;
		kept = site->key ?: __sync_val_compare_and_swap(&site->key, 0, key);
		*is_new = !kept;
		if (!kept || kept == key)
			return site;
	}
	return NULL;
}

/* Is it the turn of a request at one of the sites that are to fail? */
static __always_inline bool is_turn(u64 key)
{
	struct chaos_failed *failed;
	u64 turn;
	u32 i;

	if (!(*(volatile u64 *)&state.phase & *(volatile u64 *)&state.phases))
		return false;
#pragma unroll
	for (i = 0; i < MAX_FAILED; i++) {
		failed = &state.failed[i];
		if (*(volatile u64 *)&failed->site != key >> SITE_SHIFT || !failed->first)
			continue;
		turn = __sync_fetch_and_add(&failed->requests, 1) + 1;
		if (turn < failed->first || turn > failed->last)
			return false;
		__sync_fetch_and_add(&failed->injected, 1);
		return true;
	}
	return false;
}

/*
 * Can a request be let go unseen?  A walk of the stack costs ten times all else, and until a
 * request has failed, those that come by the entry of a site that is to fail are all that matters.
 */
static __always_inline bool is_spared(u64 entry)
{
	struct chaos_failed *failed;
	u32 i;

	if (!*(volatile u64 *)&state.sparing)
		return false;
#pragma unroll
	for (i = 0; i < MAX_FAILED; i++) {
		failed = &state.failed[i];
		if (*(volatile u64 *)&failed->first && (failed->entry == entry || failed->injected))
			return false;
	}
	return true;
}

/*
 * Record the site of a request that would fail otherwise; return its callers that matter, and
 * whether it is to fail.  The stack is walked once: what is on it is known of a site.  None of it
 * is a function of its own, for the kernel would walk over that, too.
 */
static __always_inline u32 callers_at_site(void *ctx, struct task_struct *task,
					   const u64 *arguments, u32 hook)
{
	u64 entry = entry_of(task), key;
	struct chaos_site *site;
	bool is_new = false;
	u32 callers = 0;

	if (is_spared(entry))
		return 0;
	key = key_of_stack(ctx);
	site = key ? place_of_site(key, &is_new) : NULL;
	if (is_new)
		describe_site(ctx, site, task, arguments, hook);
	if (site)
		callers = *(volatile u64 *)&site->callers;
	if (!callers)
		callers = callers_of(ctx, task);
	if (callers & CALLER_UNDONE)
		return callers;
	if (site) {
		if (site->entry != entry)
			site->others = 1;
		__sync_fetch_and_add(&site->count, 1);
		__sync_fetch_and_or(&site->phases, *(volatile u64 *)&state.phase);
	} else {
		count(COUNT_UNLISTED_SITES);
	}
	return callers | (key && is_turn(key) ? CALLER_FAILED_SITE : 0);
}

#endif
