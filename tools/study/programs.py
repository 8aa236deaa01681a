"""The programs of the study, and how each is known to be well."""

from __future__ import annotations

from typing import NamedTuple

_PG = "/usr/lib/postgresql/15/bin"
_PSQL = f"{_PG}/psql -h $PWD/data -p 7003 -U nobody -qAt postgres"


class Program(NamedTuple):
    """A program, and the words of `chaoskernel explore` for it.

    :param options: before the command.
    :param words: the command, or the workload of a service.
    """

    name: str
    options: tuple[str, ...]
    words: tuple[str, ...]


class Run(NamedTuple):
    """A kernel, and what fails on it.

    :param lab: options that choose the kernel.
    """

    name: str
    faults: tuple[str, ...]
    lab: tuple[str, ...] = ()


PROGRAMS = (
    Program(
        "sqlite3",
        ("--verify", "test ! -e db || sqlite3 db 'pragma integrity_check' | grep -qx ok"),
        (
            "sqlite3",
            "db",
            "create table t(x); insert into t values(1), (2); select count(*) from t; vacuum",
        ),
    ),
    Program(
        "git",
        (
            *("--fixture", "git init -q . && echo one >file"),
            *("--verify", "git fsck --strict >/dev/null && git status >/dev/null"),
        ),
        (
            "sh",
            "-c",
            "git add file && git -c user.name=x -c user.email=x@x commit -qm one && git gc -q",
        ),
    ),
    Program(
        "redis",
        (
            *(
                "--start",
                "redis-server --port 7000 --save '' --appendonly yes --appendfsync always",
            ),
            *("--ready", "redis-cli -p 7000 ping | grep -q PONG"),
            *("--check", "redis-cli -p 7000 set b 2 | grep -q OK"),
            *("--verify", "! grep -q OK acknowledged || redis-cli -p 7000 get a | grep -qx 1"),
        ),
        (
            "sh",
            "-c",
            "redis-cli -p 7000 set a 1 >acknowledged; redis-cli -p 7000 bgrewriteaof >/dev/null; "
            "for n in 1 2 3 4 5; do redis-cli -p 7000 lpush l $n; done >/dev/null",
        ),
    ),
    Program(
        "nginx",
        (
            "--fixture",
            "echo well >index.html; echo 'daemon off; user root; pid pid; error_log error.log; "
            "events {} http { access_log off; server { listen 7001; root '$PWD'; } }' >nginx.conf",
            *("--start", "nginx -p . -e error.log -c nginx.conf"),
            *("--ready", "curl -sf localhost:7001/index.html >/dev/null"),
            *("--check", "curl -sf localhost:7001/index.html | grep -qx well"),
        ),
        ("sh", "-c", "for n in 1 2 3 4 5; do curl -sf localhost:7001/index.html; done"),
    ),
    Program(
        "postgresql",
        (
            "--fixture",
            f"chmod 711 .. && chown nobody . && setpriv --reuid=nobody --clear-groups {_PG}/initdb "
            "-D data -A trust -U nobody >/dev/null",
            "--start",
            f"setpriv --reuid=nobody --clear-groups {_PG}/postgres -D data -k . -p 7003 -h ''",
            *("--ready", f"{_PSQL} -c 'select 1' >/dev/null 2>&1"),
            *("--check", f"{_PSQL} -c 'create table if not exists c(x int)'"),
            "--verify",
            f"! test -s acknowledged || test $({_PSQL} -c 'select count(*) from t') = 2",  # noqa: S608
        ),
        (
            "sh",
            "-c",
            f"{_PSQL} -c 'create table t(x int)' && "  # noqa: S608
            f"{_PSQL} -c 'insert into t values (1), (2)' && echo yes >acknowledged",
        ),
    ),
    Program(
        "memcached",
        (
            *("--start", "memcached -u nobody -p 7002 -U 0"),
            *(
                "--ready",
                "printf 'version\\r\\nquit\\r\\n' | nc -N localhost 7002 | grep -q VERSION",
            ),
            "--check",
            "printf 'set b 0 0 1\\r\\n2\\r\\nquit\\r\\n' | nc -N localhost 7002 | grep -q STORED",
        ),
        (
            "sh",
            "-c",
            "printf 'set a 0 0 1\\r\\n1\\r\\nget a\\r\\nquit\\r\\n' | nc -N localhost 7002",
        ),
    ),
)

RUNS = (
    Run("lab", ("slab",)),
    Run("stock", ("allocation", "write"), ("--package", "linux-image-amd64")),
)
