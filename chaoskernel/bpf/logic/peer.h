/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The ends of a socket that a fault is about. */
#ifndef CHAOSKERNEL_LOGIC_PEER_H
#define CHAOSKERNEL_LOGIC_PEER_H

/*
 * Unix sockets: those in the file system by their dentries, like files; abstract ones by their
 * names.  An address that has not been looked up yet has a name alone.
 */
struct chaos_name {
	u32 length; /* of an abstract one, with its first byte; a path ends with a zero byte */
	char name[UNIX_NAME + sizeof(u32)];
};

MAP(HASH, names, struct chaos_name, u8, MAX_PEERS);

static __noinline bool is_named(u64 place, u32 length)
{
	struct chaos_name found = {};
	long failed;

	if (length == 0 || length > UNIX_NAME)
		return false;
	if (bpf_probe_read_kernel(found.name, 1, (void *)place))
		return false;
	if (found.name[0]) {
		/* The last byte is made a zero, which an address need not have. */
		failed = bpf_probe_read_kernel_str(found.name, length + 1, (void *)place) < 0;
	} else {
		found.length = length;
		failed = bpf_probe_read_kernel(found.name, length, (void *)place);
	}
	return !failed && find(names, &found);
}

static __noinline bool is_unix_peer(u64 address)
{
	struct unix_sock___of_module *sock = (void *)address;
	struct unix_address___of_module *named;
	u64 dentry;

	if (!sock || !bpf_core_type_exists(struct unix_sock___of_module))
		return false;
	dentry = (u64)BPF_CORE_READ(sock, path.dentry);
	if (dentry)
		return state.places[slot_of_place(dentry)] && is_place(dentry);
	named = BPF_CORE_READ(sock, addr);
	return named && is_named((u64)named + bpf_core_field_offset(named->name) + sizeof(u16),
				 BPF_CORE_READ(named, len) - sizeof(u16));
}

/* One end of a socket; the unspecified address is none. */
struct chaos_end {
	u32 family;
	u32 port;
	union {
		u32 words[4];
		u64 address[2];
	};
};

static __always_inline void set_ipv4(struct chaos_end *end, u32 address)
{
	end->family = IPV4;
	end->address[0] = 0;
	end->words[2] = bpf_htonl(0xffff);
	end->words[3] = address;
}

static __always_inline bool is_unspecified(const struct chaos_end *end)
{
	return !end->address[0] && (end->family == IPV4 ? !end->words[3] : !end->address[1]);
}

static __noinline bool is_listed(u32 family, u32 port, u64 high, u64 low)
{
	const volatile struct chaos_peer *peer;
	u32 i;

	if (family == IPV6 && !high && (u32)low == bpf_htonl(0xffff))
		family = IPV4;
#pragma clang loop unroll(disable)
	for (i = 0; i < MAX_PEERS; i++) {
		if (i >= switches.nr_peers)
			return false;
		peer = &switches.peers[i];
		if (peer->port && peer->port != port)
			continue;
		if (peer->family && peer->family != family)
			continue;
		if (!(((high ^ peer->address[0]) & peer->mask[0]) |
		      ((low ^ peer->address[1]) & peer->mask[1])))
			return true;
	}
	return false;
}

static __always_inline bool is_end_listed(const struct chaos_end *end)
{
	return is_listed(end->family, end->port, end->address[0], end->address[1]);
}

/* The beginning of addresses of both families (in.h, in6.h). */
struct chaos_sockaddr {
	u16 family;
	u16 port;
	u32 ipv4; /* of IPv6, its flow */
	u32 ipv6[4];
};

#define LEAST_IPV4 16 /* bytes of an address that the kernel takes */
#define LEAST_IPV6 24

/* In place of a family: another hook is asked, with the socket that the address leads to. */
#define LOOKED_UP ~0U

/*
 * An address of a program's, which the kernel has copied.  To send or to connect to the
 * unspecified address means this host.
 */
static __noinline bool is_address_listed(u64 place, u32 length, u32 family, u32 own)
{
	struct chaos_sockaddr address = {};
	struct chaos_end end = {};

	if (length < sizeof(u16) ||
	    bpf_probe_read_kernel(&address.family, sizeof(u16), (void *)place))
		return false;
	if (address.family == UNIX)
		return family != LOOKED_UP && is_named(place + sizeof(u16), length - sizeof(u16));
	if (length < LEAST_IPV4 || bpf_probe_read_kernel(&address, LEAST_IPV4, (void *)place))
		return false;
	if (address.family == UNSPECIFIED)
		address.family = family;
	end.port = bpf_ntohs(address.port);
	if (address.family == IPV4) {
		set_ipv4(&end, address.ipv4);
		if (!own && is_unspecified(&end))
			end.words[3] = bpf_htonl(0x7f000001);
		return is_end_listed(&end);
	}
	if (address.family != IPV6 || length < LEAST_IPV6 ||
	    bpf_probe_read_kernel(&address, sizeof(address), (void *)place))
		return false;
	end.family = IPV6;
	__builtin_memcpy(end.words, address.ipv6, sizeof(end.words));
	if (!own && is_unspecified(&end))
		end.words[3] = bpf_htonl(1);
	return is_end_listed(&end);
}

/* The end that a socket itself knows: its own, or the one that it is connected to. */
static __always_inline bool read_end(struct sock *sock, u32 own, struct chaos_end *end)
{
	struct sock___with_ipv6 *wide = (void *)sock;
	u32 family = BPF_CORE_READ(sock, __sk_common.skc_family);

	if (own)
		end->port = BPF_CORE_READ(sock, __sk_common.skc_num);
	else
		end->port = bpf_ntohs(BPF_CORE_READ(sock, __sk_common.skc_dport));
	if (family == IPV4) {
		if (own)
			set_ipv4(end, BPF_CORE_READ(sock, __sk_common.skc_rcv_saddr));
		else
			set_ipv4(end, BPF_CORE_READ(sock, __sk_common.skc_daddr));
	} else if (family == IPV6 && bpf_core_field_exists(wide->__sk_common.skc_v6_daddr)) {
		end->family = IPV6;
		if (own)
			BPF_CORE_READ_INTO(&end->words, wide, __sk_common.skc_v6_rcv_saddr);
		else
			BPF_CORE_READ_INTO(&end->words, wide, __sk_common.skc_v6_daddr);
	} else {
		return false;
	}
	return true;
}

static __noinline bool is_socket_listed(u64 place, u32 own)
{
	struct sock *sock = (void *)place;
	struct chaos_end end = {};

	if (BPF_CORE_READ(sock, __sk_common.skc_family) == UNIX &&
	    bpf_core_type_exists(struct unix_sock___of_module))
		return is_unix_peer(
			own ? place
			    : (u64)BPF_CORE_READ((struct unix_sock___of_module *)sock, peer));
	return read_end(sock, own, &end) && (own || !is_unspecified(&end)) && is_end_listed(&end);
}

/* A stream goes where its socket is connected to, whatever address is given with it. */
static __always_inline bool is_message_listed(struct socket *socket, struct msghdr *message)
{
	u64 sock = (u64)BPF_CORE_READ(socket, sk), name = (u64)BPF_CORE_READ(message, msg_name);
	u32 family = BPF_CORE_READ((struct sock *)sock, __sk_common.skc_family);
	u16 to = UNSPECIFIED;

	if (name && BPF_CORE_READ(socket, type) == DATAGRAM)
		bpf_probe_read_kernel(&to, sizeof(to), (void *)name);
	else if (name && family != UNIX &&
		 !BPF_CORE_READ((struct sock *)sock, __sk_common.skc_dport))
		bpf_probe_read_kernel(&to, sizeof(to), (void *)name); /* MSG_FASTOPEN */
	else
		return is_socket_listed(sock, false);
	if (to == UNSPECIFIED && family != IPV4)
		return is_socket_listed(sock, false);
	return is_address_listed(name, BPF_CORE_READ(message, msg_namelen), family, false);
}

/* What an address without a family means. */
static __always_inline u32 family_of_name(struct socket *socket, u32 subject)
{
	u32 family = BPF_CORE_READ(socket, sk, __sk_common.skc_family);

	if (subject == SUBJECT_OWN_NAME)
		return family == IPV4 ? IPV4 : UNSPECIFIED;
	if (family == UNIX && BPF_CORE_READ(socket, type) != DATAGRAM)
		return LOOKED_UP;
	return UNSPECIFIED; /* connect(2) takes it for the end of a connection */
}

/* Has the socket that a hook is called for one of the peers that the fault is about? */
static __noinline bool is_at_peer(u64 *ctx, u32 hook)
{
	u32 subject, own, length;
	struct socket *socket;
	u64 end;

	if (hook >= MAX_HOOKS)
		return false;
	subject = switches.hooks[hook].subject;
	own = switches.hooks[hook].own_ends;
	end = (u64)argument_of(ctx, switches.hooks[hook].end);
	if (subject == SUBJECT_SERVER)
		return is_unix_peer(end);
	socket = argument_of(ctx, switches.hooks[hook].socket);
	if (subject == SUBJECT_MESSAGE)
		return is_message_listed(socket, (void *)end);
	if (subject != SUBJECT_DESTINATION && subject != SUBJECT_OWN_NAME)
		return is_socket_listed((u64)BPF_CORE_READ(socket, sk), own);
	length = (u64)argument_of(ctx, switches.hooks[hook].end + 1);
	return is_address_listed(end, length, family_of_name(socket, subject), own);
}

/* The kernel sends and receives for itself too, on behalf of whoever is on the CPU. */
static __always_inline bool is_kernels_own(u64 *ctx, u32 hook)
{
	u32 subject = switches.hooks[hook].subject;
	struct socket *socket;
	struct sock *sock;

	if (subject != SUBJECT_MESSAGE && subject != SUBJECT_SOCKET)
		return false;
	socket = argument_of(ctx, switches.hooks[hook].socket);
	sock = BPF_CORE_READ(socket, sk);
	return BPF_CORE_READ_BITFIELD_PROBED(sock, sk_kern_sock);
}

/* Is the hook called for a file or a socket that the fault is about? */
static __always_inline bool is_in_place(u64 *ctx, u32 hook)
{
	u32 number;

	if (is_kernels_own(ctx, hook))
		return false;
	if (switches.by_peer)
		return is_at_peer(ctx, hook);
	if (!switches.by_place)
		return true;
#pragma unroll
	for (number = 0; number < 5; number++)
		if (switches.hooks[hook].subjects & 1U << number &&
		    lies_in_place(
			    dentry_of(argument_of(ctx, number), switches.hooks[hook].subject)))
			return true;
	return false;
}

#endif
