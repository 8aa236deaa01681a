"""What installs the libraries of an extra, whether or not a release of this package is anywhere.

Standard library only.
"""

from __future__ import annotations

import re
from importlib import metadata

DISTRIBUTION = "chaostoolkit-kernel"
_OF_EXTRA = re.compile(r"""^(?P<wanted>[^;]+);.*extra\s*==\s*['"](?P<extra>[\w-]+)['"]""")


def pip_install(extra: str) -> str:
    """Return the command that installs what an extra of this package names."""
    return " ".join(["pip install", *(f"'{wanted}'" for wanted in _wanted(extra))])


def _wanted(extra: str) -> list[str]:
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        required = []
    found = [found for each in required if (found := _OF_EXTRA.match(each))]
    return [each["wanted"].strip() for each in found if each["extra"] == extra] or [f".[{extra}]"]
