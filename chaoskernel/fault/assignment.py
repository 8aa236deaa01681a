"""What an agent is given: a fault and, beside it, the object that was compiled for it.

This document travels: on the standard input of a local agent, in the environment of one on a
node.  Standard library only.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.fault.checks import check_flag, check_object, document, mapping, only
from chaoskernel.fault.spec import Fault

FAULT_VARIABLE = "CHAOSKERNEL_FAULT"
"""The environment variable that has the document of an agent on a node."""


@dataclasses.dataclass(frozen=True, slots=True)
class Assignment:
    """One fault for one agent.

    :param object: the program with the fault's predicates in it, for the engine core: an object
        file as `checks.packed` returns it; empty where none was compiled.
    :param machine: that the object is for, as `uname -m` prints it; empty where that is not told.
    :param types: the agent is to say its kernel's types before anything else.
    """

    fault: Fault
    object: str = ""
    machine: str = ""
    types: bool = False

    def __post_init__(self) -> None:
        check_object("object", self.object)
        if not isinstance(self.machine, str):
            raise InvalidFault("machine", self.machine, "text", hint="such as aarch64")
        check_flag("types", self.types)

    def to_json(self) -> dict[str, Any]:
        """Return the document, of JSON types; what is not said of the object is left out."""
        return {
            "fault": self.fault.to_json(),
            "object": self.object,
            **({"machine": self.machine} if self.machine else {}),
            **({"types": True} if self.types else {}),
        }

    def require_machine(self, here: str = "") -> None:
        """Check that the object is for this machine: registers lie elsewhere on others.

        :param here: what `uname -m` says; for tests.
        :raises UnsupportedKernel: it is for another one.
        """
        here = here or os.uname().machine
        if self.machine not in ("", here):
            raise UnsupportedKernel(
                f"the fault's predicates were compiled for {self.machine}, and this is {here}",
                needs="the experiment compiles them for each node's architecture where it may "
                "list nodes",
            )

    @classmethod
    def from_text(cls, text: str) -> Assignment:
        """Return what a JSON document assigns; its size is bounded before it is read.

        :raises InvalidFault: the text is not such a document.
        """
        return cls.from_json(document("the fault", text))

    @classmethod
    def from_json(cls, described: Any) -> Assignment:
        """Return what a document assigns; one of a fault alone has no object.

        :raises InvalidFault: a key is unknown, absent or has an impossible value.
        """
        body = mapping("the fault", described)
        # In a fault's own document, the key "fault" has the name of its kind.
        if not isinstance(body.get("fault"), Mapping):
            _refuse_object_inside(body)
            return cls(Fault.from_json(body))
        only(body, {field.name for field in dataclasses.fields(cls)}, "")
        _refuse_object_inside(body["fault"])
        more = {key: body[key] for key in ("object", "machine", "types") if key in body}
        return cls(Fault.from_json(body["fault"]), **more)


def _refuse_object_inside(fault: Mapping[str, Any]) -> None:
    if "object" in fault:
        raise InvalidFault(
            "object",
            str(fault["object"])[:40],
            "part of the fault",
            hint='it stands beside the fault: {"fault": {…}, "object": "…"}',
        )
