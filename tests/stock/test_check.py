"""`chaoskernel check` on an unmodified kernel; it tries every fault, one after another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.stock.kinds import CALLS, WITH_LIST


def test_named_faults_are_live_and_those_of_error_injection_are_not(lab: None) -> None:
    program = Path(sys.executable).with_name("chaoskernel")
    checked = subprocess.run(
        [program, "check", "--json"], stdout=subprocess.PIPE, text=True, check=False, timeout=900
    )
    states = {finding["subject"]: finding["state"] for finding in json.loads(checked.stdout)}
    for kind in WITH_LIST:
        assert states[kind.value] != "live"
    for kind in CALLS:
        assert states[kind.value] == "live"
