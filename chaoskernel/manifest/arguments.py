"""Arguments of an activity -> a selection, by the rules for documents."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from chaoskernel.errors import InvalidManifest
from chaoskernel.manifest.document import Problems, documents
from chaoskernel.manifest.fields import Fields
from chaoskernel.manifest.model import Selection
from chaoskernel.manifest.selector import SELECTION, selection

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
        "value": str(value) if value else None,
        "containerNames": containers or None,
        "selector": {name: item for name, item in selector.items() if item},
    }
    problems = Problems("the selection")
    try:
        text = json.dumps(given)
    except (TypeError, ValueError) as error:
        raise InvalidManifest("the selection", [f"{error}"]) from error
    try:
        (document,) = documents(text, problems)
        found = selection(Fields(document, problems, SELECTION), namespace)
        problems.settle()
    except InvalidManifest as wrong:  # there is no text whose lines could be counted
        lines = [_MARK.sub("", problem) for problem in wrong.problems]
        raise InvalidManifest("the selection", lines) from None
    return found
