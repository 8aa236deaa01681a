"""A build is named by what goes into it, and says which options did not take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaoskernel.lab import build


def test_the_name_of_a_build_stays_the_same() -> None:
    assert build.digest("6.1", "CONFIG_A=y") == "ad64aa6856c32413"


def test_the_name_changes_with_the_source_and_with_the_fragment() -> None:
    names = {
        build.digest("6.1", "CONFIG_A=y"),
        build.digest("6.2", "CONFIG_A=y"),
        build.digest("6.1", "CONFIG_A=n"),
        build.digest("6.1CONFIG_A", "=y"),
    }
    assert len(names) == 4


def test_a_source_is_found_by_its_version_and_without_one_is_the_newest(tmp_path: Path) -> None:
    for version in ("6.1", "6.12", "6.2"):
        (tmp_path / f"linux-source-{version}.tar.xz").touch()
    for version, name in (("", "6.12"), ("6.2", "6.2"), ("6.1", "6.1")):
        found = build.find_source(version, tmp_path)
        assert found is not None
        assert found.tarball.name == f"linux-source-{name}.tar.xz"
    assert build.find_source("6", tmp_path) is None


@pytest.mark.parametrize(
    ("depends", "version"),
    [("linux-source-6.1 (= 6.1.192-2)", "6.1"), ("linux-source-6.12", "6.12"), ("", "")],
)
def test_the_source_is_that_which_the_distribution_means(depends: str, version: str) -> None:
    assert build.default_version(depends) == version


def test_another_fragment_takes_the_place_of_the_packages_options() -> None:
    merged = build.fragment("# mine\nCONFIG_FAILSLAB=n\nCONFIG_NEW=y\n")
    assert "CONFIG_FAILSLAB=y" not in merged
    assert merged.endswith("# mine\nCONFIG_FAILSLAB=n\nCONFIG_NEW=y\n")
    assert "CONFIG_FAIL_PAGE_ALLOC=y\n" in merged
    assert build.refused(merged, merged) == ()
    assert build.fragment("") == build.fragment()


def test_a_new_edition_of_the_package_is_another_version(tmp_path: Path) -> None:
    tarball = tmp_path / "linux-source-6.1.tar.xz"
    tarball.touch()
    os.utime(tarball, (1, 1))
    first = build.find_source("", tmp_path)
    os.utime(tarball, (2, 2))
    assert build.find_source("", tmp_path) != first


def test_no_tarball_is_no_source(tmp_path: Path) -> None:
    assert build.find_source("", tmp_path) is None


def test_options_that_did_not_take_are_named() -> None:
    options = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\nCONFIG_D=n\n# CONFIG_E=y\n"
    config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\n"
    assert build.refused(options, config) == ("CONFIG_B=y", "CONFIG_C=n")


def test_a_fragment_refuses_nothing_of_itself() -> None:
    assert build.refused(build.fragment(), build.fragment()) == ()
