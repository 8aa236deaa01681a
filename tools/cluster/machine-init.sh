#!/bin/sh
# The first process of a machine that is a node: what a container runtime and a kubelet
# expect of a system, and then those two.  What they read is shared by the host.
[ $$ = 1 ] || exit 1 # it ends by switching the machine off
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o ptmxmode=0666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /run/node /run/log
mount -t 9p -o trans=virtio,version=9p2000.L,ro node /run/node
mount -t 9p -o trans=virtio,version=9p2000.L log /run/log
# Volumes that a kubelet mounts are seen by containers that run already.
mount --make-rshared /

. /run/node/environment
echo "$NAME" >/proc/sys/kernel/hostname
ip link set lo up
ip address add "$ADDRESS/24" dev eth0
ip link set eth0 up
ip route add default via "$GATEWAY"

containerd --config /run/node/containerd.toml >>/run/log/containerd.log 2>&1 &
until [ -S "$SOCKET" ]; do sleep 0.2; done
kubelet --config=/run/node/kubelet.json --kubeconfig=/run/node/kubeconfig \
	--hostname-override="$NAME" --node-ip="$ADDRESS" \
	--container-runtime=remote --container-runtime-endpoint="unix://$SOCKET" \
	>>/run/log/kubelet.log 2>&1

# A node without a kubelet is none.
echo o >/proc/sysrq-trigger
sleep 60
