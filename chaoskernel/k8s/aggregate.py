"""What the agents of a fault have said, as one record; pure."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chaoskernel.agent import protocol
from chaoskernel.backend.record import Record, State
from chaoskernel.backend.series import Series
from chaoskernel.fault.checks import is_int
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s.node import NodeAgent
from chaoskernel.k8s.recent_events import Latest


def record(fault: Fault, agents: Sequence[NodeAgent], latest: Latest, series: Series) -> Record:
    """Return what is known of a fault on all its nodes."""
    active = any(agent.active for agent in agents)
    lost = [agent for agent in agents if not agent.disarmed]
    state = State.ACTIVE if active else State.LOST if lost else State.ENDED
    last = [agent.said(protocol.DISARMED) for agent in agents]
    return Record(
        fault=fault,
        state=state,
        armed=armed(fault, agents),
        counters=counters(agents),
        ended_at="" if active else max((agent.ended_at() for agent in agents), default=""),
        reason="" if active else _reason(agents),
        leftovers=tuple(each for said in last for each in said.get("leftovers", ())),
        events=latest.events,
        dropped=latest.dropped + sum(int(said.get("dropped", 0)) for said in last),
        series=series.to_json(),
    )


def armed(fault: Fault, agents: Sequence[NodeAgent]) -> dict[str, Any]:
    """Return one `armed` message for those of all nodes; what differs is under `nodes`."""
    said = [(agent, agent.said(protocol.ARMED)) for agent in agents]
    first: Mapping[str, Any] = next((message for _, message in said if message), {})
    return {
        **{key: first.get(key, "") for key in ("hook", "mechanism", "engine")},
        # The weakest of them; in the order of the alphabet it is the first.
        "proof": min((str(message.get("proof", "")) for _, message in said if message), default=""),
        **_stand_in(message for _, message in said),
        "name": fault.name,
        "callchain": first.get("callchain", []),
        "targets": [
            {**target, "node": agent.node}
            for agent, message in said
            for target in message.get("targets", [])
        ],
        "left_out": list(
            dict.fromkeys(who for _, message in said for who in message.get("left_out", []))
        ),
        "armed_at": max((str(message.get("armed_at", "")) for _, message in said), default=""),
        "expires_at": max((agent.expires_at() for agent in agents), default=""),
        "programs": [],
        "warnings": _warnings(said),
        "nodes": [agent.node for agent in agents],
    }


def _stand_in(armed: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the label of a stand-in, where a node has one armed; warnings say which nodes do."""
    labelled = next((message for message in armed if message.get("stand_in_for")), {})
    return {key: labelled[key] for key in ("fault", "stand_in_for") if key in labelled}


def _warnings(said: Iterable[tuple[NodeAgent, Mapping[str, Any]]]) -> list[str]:
    """Return the warnings of all nodes: one that many nodes have once, with their number."""
    nodes: dict[str, list[str]] = {}
    for agent, message in said:
        for warning in protocol.warnings_of(message):
            nodes.setdefault(warning, []).append(agent.node)
    return [
        f"on {len(names)} nodes: {text}" if len(names) > 1 else f"on node {names[0]}: {text}"
        for text, names in nodes.items()
    ]


def counters(agents: Sequence[NodeAgent]) -> dict[str, Any]:
    """Return the sums of all nodes; `pods` and `nodes` have what each of them counted."""
    seen = [(agent.node, agent.counters()) for agent in agents]
    known = [each for _, each in seen if each]
    if not known:
        return {}
    counted = (key for each in known for key, value in each.items() if is_int(value))
    names = dict.fromkeys((*_OF_A_NODE, *counted))
    return {
        **{name: sum(_count(each, name) for each in known) for name in names},
        "frames": _frames([each.get("frames", []) for each in known]),
        "processes": _with_node(seen, "processes"),
        **_near([each.get("near", []) for each in known]),
        "pods": _with_node(seen, "pods"),
        "nodes": [
            {"node": node, **{name: _count(each, name) for name in _OF_A_NODE}}
            for node, each in seen
        ],
    }


_OF_A_NODE = ("reached", "matched", "injected")


def _frames(lists: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the sums of each frame; nodes with other kernels may have another symbol for one."""
    return [
        {
            "symbol": " or ".join(dict.fromkeys(str(frame["symbol"]) for frame in same)),
            "entered": sum(int(frame["entered"]) for frame in same),
            "matched": sum(int(frame["matched"]) for frame in same),
        }
        for same in zip(*lists, strict=False)
    ]


def _near(lists: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the sums of the calls that are near the fault's, where a node has counted them."""
    sums: collections.Counter[str] = collections.Counter()
    for each in itertools.chain.from_iterable(lists):
        sums[str(each["call"])] += int(each["count"])
    return {"near": [{"call": call, "count": sums[call]} for call in sums]} if sums else {}


def _with_node(seen: Iterable[tuple[str, Mapping[str, Any]]], key: str) -> list[dict[str, Any]]:
    return [{**each, "node": node} for node, counted in seen for each in counted.get(key, [])]


def _reason(agents: Sequence[NodeAgent]) -> str:
    said = dict.fromkeys(_ended(agent) for agent in agents)
    return "; ".join(said)


def _ended(agent: NodeAgent) -> str:
    if agent.disarmed:
        reason = str(agent.said(protocol.DISARMED).get("reason", ""))
        # A pod that is deleted gets SIGTERM: that is how a fault on a node is stopped.
        return "stop" if reason == "SIGTERM" else reason
    return f"node {agent.node}: {agent.error() or 'its agent went without a word'}"


def _count(counters: Mapping[str, Any], name: str) -> int:
    """Return a counter; 0 where an agent of another version has something else of that name."""
    value = counters.get(name, 0)
    return int(value) if is_int(value) else 0
