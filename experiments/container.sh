#!/bin/sh
# Two containers without a container runtime: control groups of their names, each with a
# mount loop in it.
#
#   await-errors   wait until the first one's loop reports ENOMEM again and again
#   execute        execute a program in the first one, as `docker exec` does
#   neighbour      succeed when the other one has met no error and mounts; the first time this
#                  makes both
#   stop           end both; nothing to stop is no error
set -eu
. "$(dirname -- "$0")/build.sh"

hit=4711471147114711471147114711471147114711471147114711471147114711
neighbour=1174117411741174117411741174117411741174117411741174117411741174

group() { echo "/sys/fs/cgroup/docker-$1.scope"; }
loop() {
	id=$1
	shift
	CHAOSKERNEL_DEMO_DIR=$state/$id sh "$here/mount_loop.sh" "$@"
}

start() {
	for id in $hit $neighbour; do
		mkdir -p "$(group $id)"
		loop $id start
		cat "$state/$id/loop.pid" >"$(group $id)/cgroup.procs"
	done
}

stop() {
	for id in $hit $neighbour; do
		loop $id stop
		tries=50
		while [ -d "$(group $id)" ] && ! rmdir "$(group $id)" 2>/dev/null; do
			[ $tries -gt 0 ] || fail "$(group $id) cannot be removed"
			tries=$((tries - 1))
			sleep 0.1
		done
	done
}

await_errors() {
	until [ "$(grep -c 'Cannot allocate memory' "$state/$hit/loop.log")" -ge 3 ]; do
		kill -0 $PPID 2>/dev/null || fail "the process that asked has ended"
		sleep 0.2
	done
	head -n 3 "$state/$hit/loop.log"
}

case ${1:-} in
stop) stop ;;
await-errors) await_errors ;;
execute) exec sh -c "echo \$\$ >$(group $hit)/cgroup.procs && exec true" ;;
neighbour)
	[ -d "$(group $neighbour)" ] || start
	[ ! -s "$state/$neighbour/loop.log" ] || fail "$(tail -n 1 "$state/$neighbour/loop.log")"
	loop $neighbour await-mount
	;;
*) fail "usage: container.sh await-errors | execute | neighbour | stop" ;;
esac
