"""`python3 -m chaoskernel.agent`: an agent whose fault is in the environment, as on a node."""

from __future__ import annotations

import os
import sys

from chaoskernel.agent.main import main
from chaoskernel.fault.assignment import FAULT_VARIABLE

if __name__ == "__main__":
    sys.exit(main(0, os.environ.get(FAULT_VARIABLE, "")))
