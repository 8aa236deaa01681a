#!/bin/sh
# An SQLite database in a directory of its own, @/database, and a program that adds rows to it.
#
#   try            add a row and check the whole database; the first time this makes it
#   insert COUNT   add rows, each by a process of its own named sqlite3, and print how often
#                  SQLite said what; 0 only when all were added
#   rows           print how many rows were added and how many SQLite has confirmed
#   remove         remove the database; nothing to remove is no error
set -eu
. "$(dirname -- "$0")/build.sh"

place=$state/database
confirmed=$state/database.confirmed

sql() { sqlite3 -batch "$place/orders.db" "$1" 2>&1; }

create() {
	command -v sqlite3 >/dev/null || fail "no sqlite3; apt-get install sqlite3"
	mkdir -p "$place"
	: >"$confirmed"
	sql 'CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)'
}

add() {
	said=$(sql "INSERT INTO orders (item) VALUES ('banana')") || return
	echo "${said:-Success}" | tee -a "$confirmed"
}

insert() {
	number=0
	until [ "$number" -eq "$1" ]; do
		add || echo "$said"
		number=$((number + 1))
	done | sort | uniq -c | sed 's/^ *\([0-9]*\) /\1 x /'
}

try() {
	[ -f "$place/orders.db" ] || create
	add >/dev/null || fail "$said"
	said=$(sql 'PRAGMA integrity_check') && [ "$said" = ok ] || fail "$said"
}

case ${1:-} in
try) try ;;
insert)
	said=$(insert "$2")
	echo "$said"
	[ "$said" = "$2 x Success" ]
	;;
rows) echo "$(sql 'SELECT count(*) FROM orders') rows, $(wc -l <"$confirmed") confirmed" ;;
remove) rm -rf "$place" "$confirmed" ;;
*) fail "usage: database.sh try | insert COUNT | rows | remove" ;;
esac
