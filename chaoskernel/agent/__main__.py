"""`python3 -m chaoskernel.agent`: an agent whose fault is in the environment, as on a node."""

from __future__ import annotations

import os
import sys

from chaoskernel.agent.main import main

FAULT_VARIABLE = "CHAOSKERNEL_FAULT"

if __name__ == "__main__":
    sys.exit(main(0, os.environ.get(FAULT_VARIABLE, "")))
