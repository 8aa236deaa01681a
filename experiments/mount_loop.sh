#!/bin/sh
# Runs mount_loop.c in the background, and looks at what it does.
#
#   start [SOURCE FSTYPE]  compile it, run it detached (on a tmpfs unless told otherwise),
#                          and wait until it has mounted once
#   stop                   end it and undo its mount; nothing to stop is no error
#   await-errors           wait until it reports ENOMEM from mount, EINVAL from umount and
#                          ENOMEM again; print the last lines of its output
#   await-mount            wait until it mounts
#   try                    mount and unmount a tmpfs in a process of its own
#
# The waits end with whoever asked, and have no other end of their own: the toolkit's
# time limit on the activity is what makes it fail, where an exit status would only be
# noted.
set -eu
. "$(dirname -- "$0")/build.sh"

program=$state/mount_loop
log=$state/loop.log
pid_file=$state/loop.pid
mount_point=$state/mnt

is_mounted() {
	grep -q " $mount_point " /proc/self/mounts
}

# The process id of a loop that runs: a stale file may name somebody else by now.
running() {
	pid=$(cat "$pid_file" 2>/dev/null) && [ -n "$pid" ] &&
		[ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$program" ]
}

start() {
	running && fail "it runs already, as process $pid"
	compile mount_loop mount_loop
	mkdir -p "$mount_point"
	# No descriptor of the caller's may stay open in it: chaos reads to their end.
	setsid "$program" "${1:-tmpfs}" "$mount_point" "${2:-tmpfs}" \
		</dev/null >"$log" 2>&1 &
	child=$!
	echo $child >"$pid_file"
	tries=100
	# Until setsid and the program were executed it does not count as running.
	until is_mounted && running; do
		if [ $tries -eq 0 ] || [ -s "$log" ] || ! kill -0 $child 2>/dev/null; then
			kill $child 2>/dev/null || :
			wait $child 2>/dev/null || :
			stop
			fail "it does not mount: $(tail -n 1 "$log")"
		fi
		tries=$((tries - 1))
		sleep 0.1
	done
}

stop() {
	if running; then
		kill "$pid"
		while running; do sleep 0.1; done
	fi
	rm -f "$pid_file"
	while is_mounted; do umount "$mount_point" || fail "$mount_point stays mounted"; done
}

# Sleep for a moment, unless whoever waits is gone.
pause() {
	kill -0 $PPID 2>/dev/null || fail "the process that asked has ended"
	sleep 0.2
}

await_errors() {
	until tr '\n' ' ' <"$log" |
		grep -q 'Cannot allocate memory Invalid argument Cannot allocate memory'; do
		pause
	done
	tail -n 6 "$log"
}

await_mount() {
	until is_mounted; do pause; done
}

try() {
	place=$(mktemp -d)
	trap 'rmdir "$place"' EXIT
	mount -t tmpfs -o ro tmpfs "$place"
	umount "$place"
}

case ${1:-} in
start) shift && start "$@" ;;
stop) stop ;;
await-errors) await_errors ;;
await-mount) await_mount ;;
try) try ;;
*) fail "usage: mount_loop.sh start [SOURCE FSTYPE] | stop | await-errors | await-mount | try" ;;
esac
