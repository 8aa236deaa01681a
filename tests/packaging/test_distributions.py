"""The wheel and the source distribution, as they are built and installed: `make test-packaging`.

They take a minute: a compiler, a virtual environment and the dependencies.
"""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from chaoskernel.bpf.text import object_name
from chaoskernel.compiler.clang import ARCHITECTURES
from tests.packaging.conftest import OFFLINE, ROOT, run

TOOLS = ("git", "sh", "cc")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, beside the dependencies of this one."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(place, with_pip=False)
    done = run(
        *(sys.executable, "-m", "pip", "--python", place / "bin/python"),
        *("install", "--quiet", "--no-deps", wheel),
    )
    assert done.returncode == 0, done.stderr
    (packages,) = place.glob("lib/python*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    # Behind the wheel's own: this environment may have the sources installed for editing.
    (packages / "dependencies.pth").write_text(f"{here}\n", encoding="utf-8")
    return place / "bin"


def test_the_source_distribution_has_the_experiments_and_the_documents(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = run("git", "ls-files", "docs", "experiments", "*.md", cwd=ROOT).stdout.split()
    wanted = {name for name in tracked if not name.startswith("tests/")}
    assert wanted - names == set()
    assert {"chaoskernel/bpf/inject.bpf.c", "setup.py"} <= names
    assert not [name for name in names if name.endswith((".pyc", ".o"))]


def test_the_wheel_has_the_gallery_and_nothing_at_the_top(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"chaoskernel"}
    tracked = run("git", "ls-files", "experiments", cwd=ROOT).stdout.split()
    assert {f"chaoskernel/{name}" for name in tracked} - names == set()


def test_one_wheel_has_the_objects_for_every_architecture(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        objects = {name for name in archive.namelist() if name.endswith(".bpf.o")}
    expected = {f"chaoskernel/bpf/{object_name(machine)}" for machine in ARCHITECTURES}
    assert objects == expected
    assert len(expected) == 2


def test_the_description_links_to_nothing_that_is_not_there(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        text = str(email.message_from_bytes(archive.read(name)).get_payload())
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert [each for each in targets if not each.startswith("https://")] == []
    assert "faults by symptom" in text
    assert "`docs/cookbook.md`" in text


def test_the_installed_gallery_copies_experiments_that_validate(
    installed: Path, tmp_path: Path
) -> None:
    listed = run(installed / "chaoskernel", "gallery", "--json", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    names = [each["name"] for each in json.loads(listed.stdout)]
    assert "redis-enospc" in names
    copied = run(installed / "chaoskernel", "gallery", "copy", "redis-enospc", cwd=tmp_path)
    assert copied.returncode == 0, copied.stderr
    code = "import chaoskernel, pathlib; print(pathlib.Path(chaoskernel.__file__).parents[1])"
    where = run(installed / "python", "-c", code, cwd=tmp_path).stdout.strip()
    assert where.startswith(str(installed.parent))
    validated = run(
        installed / "python",
        *("-m", "chaostoolkit", "--no-version-check", "validate", "experiments/redis-enospc.json"),
        cwd=tmp_path,
    )
    assert validated.returncode == 0, validated.stderr


def test_without_clang_the_source_distribution_ends_in_one_line(
    builder: Path, sdist: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    environment = {**os.environ, "PATH": str(tools)}
    done = run(
        *(builder, "-m", "pip", "wheel", *OFFLINE, "--wheel-dir", tmp_path, sdist),
        env=environment,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line.strip() for line in done.stderr.splitlines()]
    said = [line for line in lines if "clang" in line and not line.startswith("copying ")]
    assert len(said) == 1, done.stderr
    assert said[0] == (
        "the program for the kernel cannot be compiled: clang is not installed; "
        "apt-get install clang libbpf-dev bpftool"
    )
    assert not list(tmp_path.glob("*.whl"))
