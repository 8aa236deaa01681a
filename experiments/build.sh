# What the scripts beside this one share; they source it.
# Everything is written to CHAOSKERNEL_DEMO_DIR (default /run/chaoskernel-demo), so
# that the source tree may be read-only.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
state=${CHAOSKERNEL_DEMO_DIR:-/run/chaoskernel-demo}

fail() {
	echo "$(basename -- "$0"): $*" >&2
	exit 1
}

# Compile NAME.c to $state/PROGRAM, unless that is newer.
compile() {
	mkdir -p "$state"
	[ "$state/$2" -nt "$here/$1.c" ] && return
	command -v cc >/dev/null || fail "no C compiler; apt-get install gcc libc6-dev"
	cc -O2 -Wall -pthread -o "$state/$2.new" "$here/$1.c"
	mv "$state/$2.new" "$state/$2"
}
