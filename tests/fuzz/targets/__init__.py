"""Everything that reads text of others; one line for each in the modules of this folder."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import cluster, documents, host, messages, text

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (text, documents, messages, host, cluster)
    for target in module.TARGETS
}
