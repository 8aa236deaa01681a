"""The wheel on arm64, installed there by pip: a part of `make test-arm64`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pip

from chaoskernel.bpf.text import object_name
from chaoskernel.lab.foreign import ARCHITECTURES, DEPENDENCIES
from tests.packaging.conftest import OFFLINE, run

MACHINE = ARCHITECTURES["arm64"].machine
PLACE = "/opt/installed"
FOUND = "from chaoskernel.bpf import text; print(text.file(text.object_name()))"


def test_pip_installs_the_wheel_there_and_it_finds_the_object_for_arm64(wheel: Path) -> None:
    here = Path(pip.__file__).parents[1]  # pure Python: the guest has none of its own
    install = [
        *("python3", "-m", "pip", "install", *OFFLINE[:2], "--no-index", "--no-cache-dir"),
        *("--root-user-action=ignore", "--target", PLACE, str(wheel)),
    ]
    script = "; ".join(
        (
            "set -e",
            f"PYTHONPATH={shlex.quote(str(here))} {shlex.join(install)} >&2",
            f"export PYTHONPATH={PLACE}:{DEPENDENCIES}",
            "cd /",
            shlex.join(("python3", "-c", FOUND)),
            f"{PLACE}/bin/chaoskernel check --json | tr -d '\\n'",
        )
    )
    done = run(
        *(Path(sys.executable).with_name("chaoskernel"), "lab", "run", "--arch", "arm64"),
        *("--timeout", 900, "--copy", wheel.parent, "--", "sh", "-c", script),
    )
    assert done.stdout, done.stderr
    found, checked = done.stdout.splitlines()[:2]
    assert found == f"{PLACE}/chaoskernel/bpf/{object_name(MACHINE)}"
    usable = {each["subject"]: each["usable"] for each in json.loads(checked)}
    assert usable["engine core"]
    assert usable["write"], usable
