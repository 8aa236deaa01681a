"""Arguments of an activity -> a selection, by the rules for documents."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from chaoskernel.chaosmesh.manifest.document import Problems, documents
from chaoskernel.chaosmesh.manifest.fields import Fields
from chaoskernel.chaosmesh.manifest.model import Mode, Selection
from chaoskernel.chaosmesh.manifest.selector import SELECTION, selection
from chaoskernel.errors import InvalidManifest
from chaoskernel.fault.checks import is_int

_MARK = re.compile(r"^\d+:\d+: ")


def selected_by(
    mode: Any, value: Any, containers: Any, selector: Mapping[str, Any], namespace: str = "default"
) -> Selection:
    """Return the selection that arguments name.

    :param selector: by the names of a document's fields; absent ones are empty.
    :param namespace: is selected from where the selector names none.
    :raises InvalidManifest: something is wrong; it has everything that is.
    """
    given = {
        "mode": mode,
        "value": str(value) if is_int(value) else None if value == "" else value,
        "containerNames": containers,
        "selector": {name: item for name, item in selector.items() if item is not None},
    }
    problems = Problems("the selection")
    try:
        read = documents(_text(given), problems)
        problems.settle()
        (document,) = read
        found = selection(Fields(document, problems, SELECTION), namespace)
        problems.settle()
        if found.mode in (Mode.ONE, Mode.ALL) and given["value"] is not None:
            problem = f"value: '{value}' is not possible with mode {found.mode.value}; leave it out"
            raise InvalidManifest("the selection", [problem])
    except InvalidManifest as wrong:  # there is no text whose lines could be counted
        lines = [_MARK.sub("", problem) for problem in wrong.problems]
        raise InvalidManifest("the selection", lines) from None
    return found


def _text(given: Mapping[str, Any]) -> str:
    """Return arguments as JSON.

    :raises InvalidManifest: one has something that JSON has not.
    """
    name = ""
    try:
        for name, item in (*given["selector"].items(), *given.items()):  # noqa: B007
            json.dumps(item, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidManifest("the selection", [f"{name}: {error}"]) from error
    return json.dumps(given)
