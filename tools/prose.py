"""Check the prose of Markdown files: `python -m tools.prose FILE…`.

proselint reads them with all code blanked out, line by line, so that it points at the right line;
the patterns below are this project's own.  What is wrong is printed as compilers do.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

PATTERNS = (
    (r"\bthere (is|are) none\b", "name what is missing"),
    (r"\b(is|are) none\b", 'write "is missing" or "is not a …"'),
    (r"\ball the same\b", 'put "nevertheless" before the verb, or leave it out'),
    (r"\b(is|are) told\b", 'write "reports", "returns" or "names"'),
    (r"\btells? of\b", 'write "names", "lists" or "describes"'),
    (r"\bhas not\b(?! (been|yet))", 'write "lacks"'),
    (r", for (it|they|he|she) \w+", 'write "because"'),
    (r"\b(still|any more)[.;]", "put it before the verb, or leave it out"),
)


def masked(text: str) -> str:
    """Return a document without code, figures and the targets of links, line by line."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"\S", " ", found[0])

    text = re.sub(r"^```.*?^```", blank, text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`]*`", lambda found: re.sub(r"[^\n]", "~", found[0]), text)
    text = re.sub(r"\]\([^)]*\)", blank, text)
    return re.sub(r"\d+(?: \d+)*", lambda found: "~" * len(found[0]), text)


def of_our_own(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each pattern that a document has, and what to write instead."""
    for pattern, advice in PATTERNS:
        for found in re.finditer(pattern, text, flags=re.MULTILINE):
            yield text.count("\n", 0, found.start()) + 1, f"{found[0].strip()!r}: {advice}"


def of_proselint(texts: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield which document each of proselint's findings is in, its line, and what it says."""
    tool = Path(sys.executable).with_name("proselint")
    how = ["--config", str(ROOT / ".proselintrc.json"), "--output-format", "compact"]
    with tempfile.TemporaryDirectory() as name:
        for number, text in enumerate(texts):
            (Path(name) / f"{number}.md").write_text(text, encoding="utf-8")
        command = [str(tool), *how, "check", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"proselint failed: {done.stderr.strip()}")
    for line in done.stdout.splitlines():
        if found := re.match(r".*/(\d+)\.md:(\d+):\d+: (.*)", line):
            yield int(found[1]), int(found[2]), found[3]


def main(files: Sequence[str]) -> int:
    """Print what is wrong with the prose of files; return 1 if anything is."""
    texts = [masked(Path(name).read_text(encoding="utf-8")) for name in files]
    found = [*of_proselint(texts)]
    for number, text in enumerate(texts):
        found += [(number, line, said) for line, said in of_our_own(text)]
    for number, line, said in sorted(found):
        print(f"{files[number]}:{line}: {said}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
