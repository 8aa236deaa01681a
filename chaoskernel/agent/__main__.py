"""`python3 -m chaoskernel.agent`: an agent whose fault is in the environment, as on a node."""

from __future__ import annotations

import sys

from chaoskernel.agent.start import main_on_a_node

if __name__ == "__main__":
    sys.exit(main_on_a_node())
