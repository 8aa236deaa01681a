"""Where a line of a program has its C from: a comment at its end that names the key of the fault.

A compiler and the verifier quote such a line, and the error then stands at the user's own text.
"""

from __future__ import annotations

import re

# At the end: a literal before it may have such text in it, too.
_MARK = re.compile(r"/\* ((?:callchain\[\d+\]\.)?(?:predicate|parameters|headers)) \*/\s*$")


def marked(key: str) -> str:
    """Return the comment for a line whose C stands at a key, such as callchain[1].predicate."""
    return f"/* {key} */"


def origin(line: str) -> str:
    """Return the key that a line has its C from; empty for a line of ours."""
    found = _MARK.search(line)
    return found[1] if found else ""
