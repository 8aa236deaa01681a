"""The toolkit's log: the one logger that activities, controls and targets write to.

What agents and clusters say becomes part of its lines, so each line is made harmless.
"""

from __future__ import annotations

import logging

from chaoskernel.terminal import shown

logger = logging.getLogger("chaostoolkit.kernel")


class _Harmless(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = shown(record.getMessage()), None
        return True


logger.addFilter(_Harmless())
