"""Everything that reads text of others; one line for each in the modules of this folder."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    chaosmesh,
    cluster,
    connections,
    documents,
    explorations,
    host,
    messages,
    reports,
    text,
)

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (
        text,
        chaosmesh,
        documents,
        connections,
        messages,
        host,
        cluster,
        explorations,
        reports,
    )
    for target in module.TARGETS
}
