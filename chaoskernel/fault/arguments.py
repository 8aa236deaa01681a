"""A user's arguments -> a Fault: the one builder, for activities and for the command line."""

from __future__ import annotations

from typing import Any

from chaoskernel.fault import syntax
from chaoskernel.fault.lists import items
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, engine_named, kind_named, mechanism_named, stacks_named
from chaoskernel.fault.where import Where


def fault_of(
    *,
    name: Any,
    scope: Scope,
    fault: Any = "slab",
    callchain: Any = None,
    probability: Any = 100.0,
    times: Any = 0,
    duration: Any = "5m",
    mechanism: Any = "auto",
    engine: Any = "auto",
    function: Any = "",
    errno: Any = "",
    parameters: Any = "",
    predicate: Any = "",
    headers: Any = None,
    dry_run: Any = False,
    paths: Any = None,
    devices: Any = None,
    any_file: Any = False,
    stand_in: Any = False,
    peers: Any = None,
    site: Any = "",
    hits: Any = "once",
    sites: Any = False,
    page_faults: Any = False,
    stacks: Any = "sample",
) -> Fault:
    """Return the fault that arguments describe, as start_injection takes them.

    :raises InvalidFault: one is wrong.
    """
    return Fault(
        name=name,
        kind=kind_named(fault),
        scope=scope,
        callchain=syntax.frames(callchain),
        limits=syntax.limits(probability, times, duration),
        mechanism=mechanism_named(mechanism),
        engine=engine_named(engine),
        function=function,
        errno=syntax.errno(errno),
        parameters=syntax.parameters(parameters),
        predicate=syntax.expression(predicate),
        headers=syntax.headers(headers),
        dry_run=dry_run,
        stand_in=stand_in,
        sites=syntax.sites(site, hits, sites),
        page_faults=page_faults,
        stacks=stacks_named(stacks),
        where=Where(
            paths=items("paths", paths),
            devices=items("devices", devices),
            any_file=any_file,
            peers=items("peers", peers),
        ),
    )
