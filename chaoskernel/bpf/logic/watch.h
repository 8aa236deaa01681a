/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Which system calls tasks in scope make, and for which file or peer: nothing fails by it. */
#ifndef CHAOSKERNEL_LOGIC_WATCH_H
#define CHAOSKERNEL_LOGIC_WATCH_H

/* What tells the file or peer of a system call; in the order of watching.ABOUT. */
enum chaos_about {
	ABOUT_UNWATCHED,
	ABOUT_NOTHING,
	ABOUT_DESCRIPTOR, /* the first argument */
	ABOUT_MAPPED,	  /* a descriptor, the fifth */
	ABOUT_LOCKED,	  /* a descriptor, where the second is one of fcntl's locks */
	ABOUT_PATH_1,
	ABOUT_PATH_2,
	ABOUT_PATH_3,
	ABOUT_PATH_4,
	ABOUT_ADDRESS, /* the second, of the third's length */
};

/* include/uapi/asm-generic/fcntl.h */
#define F_SETLK 6
#define F_SETLKW 7
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38

#define LEAST_EPHEMERAL 32768 /* ip_local_port_range: the kernel chooses ports from here on */
#define NR_BIO (NR_CALLS - 1) /* no system call: block I/O */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NR_CALLS); /* core.py: 1 where nobody watches; below, too */
	__type(key, u32);
	__type(value, u32); /* enum chaos_about */
} watched SEC(".maps");

struct chaos_call_key {
	u64 object; /* what tells files and peers apart; 0 of none */
	u64 port;   /* 0 of none, and of one that the kernel chose */
	u32 number; /* of the system call */
	u32 mode;   /* type of the file */
};

struct chaos_call {
	u64 count;
	struct chaos_end end;		   /* family 0: no address */
	u32 pid;			   /* who made the first one */
	u32 device;			   /* of the file's file system, as the kernel numbers it */
	char names[NR_NAMES][NAME_LENGTH]; /* of a file, its own first; or a text */
};

/* The first is blank: what a new one is made of. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct chaos_call);
} blank SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CALLS);
	__type(key, struct chaos_call_key);
	__type(value, struct chaos_call);
} calls SEC(".maps");

static __always_inline struct file *file_of_descriptor(struct task_struct *task, u32 descriptor)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = NULL;

	if (descriptor >= BPF_CORE_READ(table, max_fds))
		return NULL;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + descriptor);
	return file;
}

static __noinline u64 hash_of(const char *text)
{
	u64 hash = 0;
	u32 i;

	for (i = 0; i < NR_TEXT; i++) {
		if (!text[i])
			break;
		hash = (hash ^ (u8)text[i]) * GOLDEN_RATIO;
		hash ^= hash >> 29;
	}
	return hash | 1;
}

/* The call of a key; one that is new has to be described. */
static __always_inline struct chaos_call *call_of(const struct chaos_call_key *key, bool *is_new)
{
	struct chaos_call *call = bpf_map_lookup_elem(&calls, key);
	u32 zero = 0;
	void *empty;

	if (!call) {
		empty = bpf_map_lookup_elem(&blank, &zero);
		*is_new = empty && !bpf_map_update_elem(&calls, key, empty, BPF_NOEXIST);
		call = bpf_map_lookup_elem(&calls, key);
	}
	if (call) {
		__sync_fetch_and_add(&call->count, 1);
		if (*is_new)
			call->pid = bpf_get_current_pid_tgid() >> 32;
	} else {
		count(COUNT_UNLISTED);
	}
	return call;
}

static __always_inline void describe_file(struct chaos_call *call, struct dentry *dentry)
{
	struct dentry *parent;
	u32 i;

	call->device = BPF_CORE_READ(dentry, d_sb, s_dev);
	for (i = 0; i < NR_NAMES; i++) {
		bpf_probe_read_kernel_str(call->names[i], NAME_LENGTH,
					  BPF_CORE_READ(dentry, d_name.name));
		parent = BPF_CORE_READ(dentry, d_parent);
		if (parent == dentry)
			break;
		dentry = parent;
	}
}

/* The one end of a socket that says most: whom it is connected to, else where it listens. */
static __noinline void watch_socket(u64 place, u32 number, u32 mode)
{
	struct sock *sock = (void *)place, *peer;
	struct chaos_call_key key = {.number = number, .mode = mode};
	struct chaos_end end = {};
	struct unix_address___of_module *named;
	struct chaos_call *call;
	bool is_new = false;
	u32 length;

	end.family = BPF_CORE_READ(sock, __sk_common.skc_family);
	if (end.family == UNIX && bpf_core_type_exists(struct unix_sock___of_module)) {
		peer = BPF_CORE_READ((struct unix_sock___of_module *)sock, peer);
		if (!peer || !BPF_CORE_READ((struct unix_sock___of_module *)peer, addr))
			peer = sock;
		named = BPF_CORE_READ((struct unix_sock___of_module *)peer, addr);
		key.object = (u64)named;
		call = call_of(&key, &is_new);
		if (!call || !is_new)
			return;
		call->end.family = UNIX;
		length = BPF_CORE_READ(named, len) - sizeof(u16);
		if (named && length <= UNIX_NAME)
			bpf_probe_read_kernel(call->names, length,
					      (void *)named + bpf_core_field_offset(named->name) +
						      sizeof(u16));
		return;
	}
	read_end(sock, false, &end);
	if (!end.port)
		read_end(sock, true, &end);
	if (end.port >= LEAST_EPHEMERAL)
		end.port = 0;
	key.object = end.address[0] ^ end.address[1] ^ end.family;
	key.port = end.port;
	call = call_of(&key, &is_new);
	if (call && is_new)
		call->end = end;
}

static __noinline void watch_descriptor(u32 descriptor, u32 number)
{
	struct file *file = file_of_descriptor(bpf_get_current_task_btf(), descriptor);
	struct chaos_call_key key = {.number = number};
	struct socket *socket;
	struct chaos_call *call;
	bool is_new = false;

	if (file) {
		key.mode = BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT;
		if (key.mode == S_IFSOCK) {
			socket = BPF_CORE_READ(file, private_data);
			watch_socket((u64)BPF_CORE_READ(socket, sk), number, key.mode);
			return;
		}
		if (key.mode && key.mode != S_IFIFO)
			key.object = (u64)BPF_CORE_READ(file, f_path.dentry);
	}
	call = call_of(&key, &is_new);
	if (call && is_new && key.object)
		describe_file(call, BPF_CORE_READ(file, f_path.dentry));
}

struct chaos_text {
	char text[NR_TEXT];
};

static __noinline void watch_path(u64 place, u32 number)
{
	struct chaos_call_key key = {.number = number, .mode = S_IFREG};
	struct chaos_text path = {};
	struct chaos_call *call;
	bool is_new = false;

	/* A text that is not in memory yet cannot be read here: its path is not known then. */
	if (bpf_probe_read_user_str(path.text, sizeof(path.text), (void *)place) > 1)
		key.object = hash_of(path.text);
	call = call_of(&key, &is_new);
	if (call && is_new)
		__builtin_memcpy(call->names, &path, sizeof(path));
}

static __noinline void watch_address(u64 place, u32 number, u64 length)
{
	struct chaos_call_key key = {.number = number, .mode = S_IFSOCK};
	struct chaos_sockaddr address = {};
	struct chaos_text name = {};
	struct chaos_end end = {};
	struct chaos_call *call;
	bool is_new = false;

	bpf_probe_read_user(&address, length < sizeof(address) ? LEAST_IPV4 : sizeof(address),
			    (void *)place);
	end.family = address.family;
	end.port = bpf_ntohs(address.port);
	if (end.family == IPV4) {
		set_ipv4(&end, address.ipv4);
	} else if (end.family == IPV6) {
		__builtin_memcpy(end.words, address.ipv6, sizeof(end.words));
	} else if (end.family == UNIX) {
		end.port = 0;
		bpf_probe_read_user_str(name.text, UNIX_NAME, (void *)place + sizeof(u16));
	}
	key.port = end.port;
	key.object = end.family == UNIX ? hash_of(name.text)
					: end.address[0] ^ end.address[1] ^ end.family;
	call = call_of(&key, &is_new);
	if (!call || !is_new)
		return;
	call->end = end;
	__builtin_memcpy(call->names, &name, sizeof(name));
}

static __always_inline bool is_lock(u64 command)
{
	return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK ||
	       command == F_OFD_SETLKW;
}

static __always_inline void watch_nothing(u32 number)
{
	struct chaos_call_key key = {.number = number};
	bool is_new = false;

	call_of(&key, &is_new);
}

static __always_inline void watch_disk(u32 device)
{
	struct chaos_call_key key = {.number = NR_BIO, .object = device};
	struct chaos_call *call;
	bool is_new = false;

	call = call_of(&key, &is_new);
	if (call && is_new)
		call->device = device;
}

#endif
