"""Hardware virtualisation: tried once per boot of the host, then remembered.

Neither /dev/kvm nor the CPU's flags say whether a guest will run: in a cloud
machine the device may be there and every guest hang on it.  Only a boot tells.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from chaoskernel.lab import cache

Acceleration = Literal["kvm", "tcg"]

_DEVICE = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def verdict(
    root: Path,
    image: Path,
    attempt: Callable[[], bool],
    *,
    device: Path = _DEVICE,
    boot_id: Path = _BOOT_ID,
) -> Acceleration:
    """Return what guests of this image run on; boot one to find out if it is not known.

    :param root: the cache directory.
    :param attempt: boots a guest on the hardware and tells whether it came up; is
        called at most once, and must bound its own time.
    """
    if (past := known(root, image, device=device, boot_id=boot_id)) is not None:
        return past
    found: Acceleration = "kvm" if attempt() else "tcg"
    verdicts = _verdicts(root, boot_id) | {str(image): found}
    cache.write(_file(root), json.dumps({"boot": _boot(boot_id), "verdicts": verdicts}))
    return found


def known(
    root: Path, image: Path, *, device: Path = _DEVICE, boot_id: Path = _BOOT_ID
) -> Acceleration | None:
    """Return the verdict as far as it is known without booting a guest."""
    if not os.access(device, os.R_OK | os.W_OK):
        return "tcg"
    match _verdicts(root, boot_id).get(str(image)):
        case "kvm":
            return "kvm"
        case "tcg":
            return "tcg"
    return None


def _verdicts(root: Path, boot_id: Path) -> dict[str, str]:
    """Return the verdict on each image that was tried since the host booted."""
    try:
        record = json.loads(_file(root).read_text(encoding="utf-8"))
        return dict(record["verdicts"]) if record["boot"] == _boot(boot_id) else {}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _file(root: Path) -> Path:
    return root / "acceleration.json"


def _boot(boot_id: Path) -> str:
    return boot_id.read_text(encoding="ascii").strip()
