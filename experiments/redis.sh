#!/bin/sh
# A Redis server with an append-only file in a directory of its own, @/redis, and its clients.
#
#   try                  store a value by a new client and read it again; the first time this
#                        starts the server
#   ask COMMAND...       ask by a new client, which waits for three seconds; print the answer
#   ask-as NAME COMMAND...  the same by a client whose process has that name
#   second PORT          start a server of its own there, which keeps nothing
#   await TEXT COMMAND...   ask until the answer has this text in it, and print it
#   await-log TEXT       wait until the server's log has a line with this text, and print its words
#   connect              let a client connect that counts, five times a second, until the end
#   goes-on              wait until that client has counted on
#   restart              end the server and start it on the same files
#   stop                 end all and remove the files; nothing to end is no error
#
# The waits end with whoever asked, and have no other end of their own: the toolkit's
# time limit on the activity is what makes it fail.
set -eu
. "$(dirname -- "$0")/build.sh"

place=$state/redis
port=${CHAOSKERNEL_DEMO_PORT:-16379}
log=$place/server.log
counted=$place/client.log

# redis-tools has the server's program under the name of another of its uses; the package
# redis-server would start a server of the machine's as well.
link_programs() {
	server=$(command -v redis-server || command -v redis-check-rdb) ||
		fail "no Redis; apt-get install redis-tools"
	command -v redis-cli >/dev/null || fail "no redis-cli; apt-get install redis-tools"
	ln -sf "$server" "$place/redis-server"
}

# The process id in a file, when it is one of a program that runs from there.
running() {
	pid=$(cat "$place/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
		tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "^[^ ]*$2"
}

# No descriptor of the caller's may stay open in it: chaos reads to their end.
detached() {
	name=$1
	shift
	setsid "$@" </dev/null >>"$place/$name.log" 2>&1 &
	echo $! >"$place/$name.pid"
}

client() { timeout 3 redis-cli -e -p "$port" "$@" 2>&1; }

start() {
	mkdir -p "$place/data"
	link_programs
	serve server "$port" --dir "$place/data" --appendonly yes --appendfsync everysec --save 3600 1
}

# Start a server by that name, at a port, with these options, and wait until it answers.
serve() {
	name=$1 at=$2
	shift 2
	detached "$name" "$place/redis-server" --port "$at" --bind 127.0.0.1 "$@"
	tries=100
	until [ "$(client -p "$at" PING)" = PONG ] && running "$name" redis-server; do
		if [ $tries -eq 0 ]; then
			why=$(tail -n 1 "$place/$name.log")
			end "$name" redis-server
			fail "no server: $why"
		fi
		tries=$((tries - 1))
		sleep 0.1
	done
}

end() {
	if running "$1" "$2"; then
		kill "$pid"
		tries=50
		while running "$1" "$2"; do
			[ $tries -ne 0 ] || kill -KILL "$pid"
			tries=$((tries - 1))
			sleep 0.1
		done
	fi
	rm -f "$place/$1.pid"
}

stop() {
	end client redis-cli
	end second redis-server
	end server redis-server
	rm -rf "$place"
}

try() {
	[ -d "$place" ] || start
	said=$(client SET fruit banana) && said=$(client GET fruit) && [ "$said" = banana ] ||
		fail "${said:-no answer}"
}

ask() {
	client "$@" || {
		status=$?
		[ $status -ne 124 ] || echo "no answer"
		return $status
	}
}

ask_as() {
	ln -sf "$(command -v redis-cli)" "$place/$1"
	program=$place/$1
	shift
	timeout 3 "$program" -e -p "$port" "$@" 2>&1
}

# Sleep for a moment, unless whoever waits is gone.
pause() {
	kill -0 $PPID 2>/dev/null || fail "the process that asked has ended"
	sleep 0.2
}

await() {
	text=$1
	shift
	until said=$(client "$@" || :) && echo "$said" | grep -qF "$text"; do pause; done
	echo "$said"
}

await_log() {
	until grep -qF "$1" "$log"; do pause; done
	grep -m 1 -F "$1" "$log" | sed 's/^.* [#*] //'
}

goes_on() {
	before=$(wc -l <"$counted")
	until [ "$(wc -l <"$counted")" -ge $((before + 5)) ]; do pause; done
	! grep -v '^[0-9]*$' "$counted"
}

case ${1:-} in
try) try ;;
ask) shift && ask "$@" ;;
ask-as) shift && ask_as "$@" ;;
second) serve second "$2" --save "" ;;
await) shift && await "$@" ;;
await-log) await_log "$2" ;;
connect) detached client redis-cli -p "$port" -r -1 -i 0.2 INCR ticks ;;
goes-on) goes_on ;;
restart) end server redis-server && start ;;
stop) stop ;;
*) fail "usage: redis.sh try | ask | ask-as | second | await | await-log | connect | goes-on | restart | stop" ;;
esac
