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
    cache.write(_file(root), json.dumps({"key": _key(image, boot_id), "verdict": found}))
    return found


def known(
    root: Path, image: Path, *, device: Path = _DEVICE, boot_id: Path = _BOOT_ID
) -> Acceleration | None:
    """Return the verdict as far as it is known without booting a guest."""
    if not os.access(device, os.R_OK | os.W_OK):
        return "tcg"
    try:
        record = json.loads(_file(root).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if record.get("key") != _key(image, boot_id):
        return None
    return "kvm" if record.get("verdict") == "kvm" else "tcg"


def _file(root: Path) -> Path:
    return root / "acceleration.json"


def _key(image: Path, boot_id: Path) -> str:
    return f"{boot_id.read_text(encoding='ascii').strip()} {image}"
