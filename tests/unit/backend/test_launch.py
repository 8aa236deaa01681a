"""Which Python runs an agent, and whether it may."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chaoskernel.backend import launch
from chaoskernel.errors import InvalidFault, MissingTool, NotPermitted


def only(*pythons: str) -> Callable[[str], bool]:
    """Return a look that finds BCC under these only."""
    return lambda python: python in pythons


def test_the_python_that_was_asked_for_comes_first() -> None:
    has_bcc = only("/opt/python", sys.executable)
    asked = {"CHAOSKERNEL_PYTHON": "/opt/python"}
    found = launch.agent_python(asked, has_bcc=has_bcc, is_python=only("/opt/python"))
    assert found == "/opt/python"


def test_one_that_was_asked_for_is_not_replaced_by_another() -> None:
    asked = {"CHAOSKERNEL_PYTHON": "/opt/python"}
    with pytest.raises(MissingTool, match=r"CHAOSKERNEL_PYTHON=/opt/python has no BCC binding"):
        launch.agent_python(asked, has_bcc=only(sys.executable), is_python=only("/opt/python"))


@pytest.mark.parametrize("program", ["/tmp", "/etc/passwd", "/nonexistent", "/bin/true", "/bin/sh"])
@pytest.mark.parametrize("needs_bcc", [True, False])
def test_what_was_asked_for_and_is_no_python_is_named(program: str, needs_bcc: bool) -> None:
    with pytest.raises(MissingTool, match=f"^CHAOSKERNEL_PYTHON={program} is no Python that runs"):
        launch.agent_python({"CHAOSKERNEL_PYTHON": program}, needs_bcc=needs_bcc)


def test_this_python_comes_before_the_distributions() -> None:
    has_bcc = only("/venv/python", "/usr/bin/python3")
    assert launch.agent_python({}, current="/venv/python", has_bcc=has_bcc) == "/venv/python"


def test_the_distributions_python_is_the_fallback() -> None:
    has_bcc = only("/usr/bin/python3")
    assert launch.agent_python({}, current="/venv/python", has_bcc=has_bcc) == "/usr/bin/python3"


def test_no_python_with_bcc_is_one_line_with_the_package_to_install() -> None:
    with pytest.raises(MissingTool, match=r"apt-get install python3-bpfcc") as refusal:
        launch.agent_python({}, has_bcc=only())
    assert "\n" not in str(refusal.value)


def test_a_python_that_does_not_exist_has_no_bcc() -> None:
    with pytest.raises(MissingTool):
        launch.agent_python({"CHAOSKERNEL_PYTHON": "/nonexistent/python"})


@pytest.mark.parametrize(("module", "usable"), [("libbcc.py", True), ("lattice.py", False)])
def test_the_lattice_library_of_the_same_name_is_not_taken_for_bcc(
    tmp_path: Path, module: str, usable: bool
) -> None:
    package = tmp_path / "bcc"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / module).touch()
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\nexec {sys.executable} -I -S -c "
        f"\"import sys; sys.path.append('{tmp_path}'); $3\"\n"
    )
    python.chmod(0o755)
    environment = {"CHAOSKERNEL_PYTHON": str(python)}
    if usable:
        assert launch.agent_python(environment) == str(python)
    else:
        with pytest.raises(MissingTool):
            launch.agent_python(environment)


def test_root_may_inject() -> None:
    launch.require_privilege(0, "CapEff:\t0000000000000000\n")


def test_a_user_with_cap_sys_admin_may_inject() -> None:
    launch.require_privilege(1000, "Name:\tchaos\nCapEff:\t0000000000200000\n")


def test_another_user_is_told_to_use_sudo() -> None:
    with pytest.raises(NotPermitted, match=r"kernel faults need root; run chaos as root, or with"):
        launch.require_privilege(1000, "CapEff:\t0000000000000000\n")


def test_the_time_limit_of_a_start_comes_from_the_environment() -> None:
    assert launch.start_seconds({}) == 180
    assert launch.start_seconds({"CHAOSKERNEL_START_SECONDS": "300"}) == 300


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", "1e9"])
def test_a_time_limit_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidFault, match=r"CHAOSKERNEL_START_SECONDS: '.*' is not a number of"):
        launch.start_seconds({"CHAOSKERNEL_START_SECONDS": text})
