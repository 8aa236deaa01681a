"""The wheel and the source distribution, built from a clone."""

from __future__ import annotations

import subprocess
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OFFLINE = ("--quiet", "--no-deps", "--no-build-isolation")
"""Options of pip, which has all that building needs."""


def run(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        list(map(str, words)), capture_output=True, text=True, timeout=1000, check=False, **more
    )


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone without what was ever built in it."""
    clone = tmp_path_factory.mktemp("source") / "clone"
    done = run("git", "clone", "--quiet", ROOT, clone)
    assert done.returncode == 0, done.stderr
    return clone


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that builds, with what pyproject.toml names and nothing else."""
    place = tmp_path_factory.mktemp("builder")
    venv.create(place, with_pip=True)
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    python = place / "bin/python"
    done = run(python, "-m", "pip", "install", "--quiet", *required["build-system"]["requires"])
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="session")
def sdist(builder: Path, source: Path) -> Path:
    code = "import setuptools.build_meta as b; print(b.build_sdist('dist'))"
    done = run(builder, "-c", code, cwd=source)
    assert done.returncode == 0, done.stderr
    (found,) = (source / "dist").glob("*.tar.gz")
    return found


@pytest.fixture(scope="session")
def wheel(builder: Path, sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel from the source distribution: what is missing in that is missing in the wheel."""
    place = tmp_path_factory.mktemp("wheel")
    done = run(builder, "-m", "pip", "wheel", *OFFLINE, "--wheel-dir", place, sdist)
    assert done.returncode == 0, done.stderr
    (found,) = place.glob("*.whl")
    return found
