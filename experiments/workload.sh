#!/bin/sh
# Runs workload.c as a program of its own name, chaos-workload, by which a fault finds it.
#
#   DO ARGUMENTS...         what the top of workload.c says; @ at the beginning of an argument
#                           is the directory that everything is written to
#   remove-devices          take away what mountfs has made: images of file systems, and devices
#                           of them, @/ext4 and @/btrfs; nothing to take away is no error
set -eu
. "$(dirname -- "$0")/build.sh"

make_device() {
	kind=$1 size=$2
	truncate -s "$size" "$state/$kind.image"
	"mkfs.$kind" -q "$state/$kind.image"
	ln -sf "$(losetup --find --show "$state/$kind.image")" "$state/$kind"
}

remove_devices() {
	for kind in ext4 btrfs; do
		[ -L "$state/$kind" ] || continue
		losetup --detach "$(readlink "$state/$kind")"
		rm -f "$state/$kind" "$state/$kind.image"
	done
}

make_devices() {
	[ ! -L "$state/btrfs" ] || return 0
	make_device ext4 16M
	make_device btrfs 128M
}

case ${1:-} in
remove-devices) remove_devices ;;
*)
	compile workload chaos-workload
	mkdir -p "$state/mnt"
	[ "${1:-}" != mountfs ] || make_devices
	count=$#
	while [ "$count" -gt 0 ]; do
		word=$1
		shift
		case $word in @*) word=$state${word#@} ;; esac
		set -- "$@" "$word"
		count=$((count - 1))
	done
	exec "$state/chaos-workload" "$@"
	;;
esac
