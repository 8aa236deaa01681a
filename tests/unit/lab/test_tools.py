"""Missing tools are named all at once, with the command that installs them."""

from __future__ import annotations

import pytest

from chaoskernel.errors import MissingTool
from chaoskernel.extras import pip_install
from chaoskernel.lab import tools


def test_nothing_is_missing_where_everything_is_found() -> None:
    assert tools.missing(tools.BOOT_NEEDS, lambda place: place) == ()


def test_one_of_several_places_is_enough() -> None:
    need = tools.Need("udevd", "udev", ("/here/udevd", "udevd"))
    assert tools.missing([need], lambda place: place if place == "udevd" else None) == ()


def test_everything_missing_is_in_one_line() -> None:
    with pytest.raises(MissingTool) as caught:
        tools.require(tools.BOOT_NEEDS + tools.BUILD_NEEDS, lambda _: None)
    line = str(caught.value)
    for need in tools.BOOT_NEEDS + tools.BUILD_NEEDS:
        assert need.name in line
    assert "\n" not in line


def test_the_remedy_names_each_package_once() -> None:
    needs = [tools.Need("unshare", "util-linux", ()), tools.Need("setpriv", "util-linux", ())]
    assert tools.remedy(needs) == "apt-get install util-linux"


def test_virtme_ng_comes_from_pip() -> None:
    needs = [tools.Need("virtme-ng", "", ()), tools.Need("udevd", "udev", ())]
    assert tools.remedy(needs) == f"apt-get install udev && {pip_install('lab')}"
    assert "virtme-ng" in pip_install("lab")
