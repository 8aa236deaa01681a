"""What the page of 1 000 sites and 100 000 injections costs: `python -m benchmarks.pages`."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.unit.report import made

SITES, INJECTIONS = 1_000, 100_000
MAX_SECONDS, MAX_MB, MAX_PAGE_MB = 3.0, 300, 2.0


def main() -> int:
    """Measure, print, and return 1 where a limit is passed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sites, events = folder / "explore.json", folder / "journal.json"
        sites.write_text(json.dumps(made.exploration(SITES)))
        events.write_text(json.dumps(made.journal(made.fault(events=INJECTIONS))))
        page = folder / "report.html"
        code = "from chaoskernel.cli import main; main()"
        command = [sys.executable, "-c", code, "report", str(sites), "-o", str(page)]
        began = time.monotonic()
        subprocess.run([*command, str(events)], check=True, stderr=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        size = page.stat().st_size
    cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"{SITES} sites and {INJECTIONS} injections: {seconds:.1f} s, {cpu:.1f} s of them on")
    print(f"a processor, {memory:.0f} MB; the page of the sites has {size / 1e6:.2f} MB")
    return int(cpu > MAX_SECONDS or memory > MAX_MB or size > MAX_PAGE_MB * 1e6)


if __name__ == "__main__":
    sys.exit(main())
