"""What is loaded into the kernel, by bpftool's account and not by ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable

from tests.waiting import within


def loaded_programs() -> set[int]:
    """Return the ids of the BPF programs of this kernel."""
    listed = subprocess.run(
        ["bpftool", "-j", "prog", "show"],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    return {program["id"] for program in json.loads(listed.stdout or "[]")}


def gone_within(programs: Iterable[int], seconds: float) -> bool:
    """Wait until none of these programs is loaded; tell whether that came in time."""
    watched = set(programs)
    return within(seconds, lambda: not loaded_programs() & watched, pause=0.05)
