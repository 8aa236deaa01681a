"""A build is named by what goes into it, and says which options did not take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaoskernel.errors import LabError
from chaoskernel.lab import build, kernel
from chaoskernel.lab.foreign import ARCHITECTURES, Architecture

ARM64 = ARCHITECTURES["arm64"]


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


def test_another_architecture_has_options_of_its_own_and_the_users_come_last() -> None:
    merged = build.fragment("CONFIG_COMPAT=n\n", ARM64)
    assert "CONFIG_SERIAL_AMBA_PL011=y\n" in merged
    assert "CONFIG_UNWINDER_ORC=y" not in merged
    assert merged.endswith("CONFIG_COMPAT=n\n")
    assert "CONFIG_COMPAT=y" not in merged
    assert kernel.lacking(merged) == ()


def test_an_option_without_a_value_is_left_to_the_kernel() -> None:
    assert "CONFIG_CPU_MITIGATIONS=n\n" in build.fragment()
    assert "CONFIG_CPU_MITIGATIONS" not in build.fragment("", ARM64)


@pytest.mark.parametrize(
    ("architecture", "words", "image"),
    [
        (None, ["make"], "arch/x86/boot/bzImage"),
        (
            ARM64,
            ["make", "ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"],
            "arch/arm64/boot/Image",
        ),
    ],
)
def test_what_is_made_is_kept(
    tmp_path: Path, architecture: Architecture | None, words: list[str], image: str
) -> None:
    assert build._make(architecture) == words
    tree = tmp_path / "linux"
    place = tree / image
    headers = place.parents[1] / "include"
    for directory in (tree / "include/config", place.parent, headers):
        directory.mkdir(parents=True)
    (tree / "include/config/kernel.release").write_text("6.12.9\n")
    (tree / ".config").touch()
    place.write_text("the kernel")
    assert build._install(tree, tmp_path, architecture) == "6.12.9"
    assert (tmp_path / "boot/vmlinuz-6.12.9").read_text() == "the kernel"
    kept = tmp_path / "lib/modules/6.12.9/build"
    assert (kept / headers.relative_to(tree)).is_dir()


def test_a_step_that_fails_says_why_and_what_to_remove(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo some words; echo 'pwd is not in git'; exit 2"]
    with pytest.raises(LabError, match="^sh failed: pwd is not in git; remove .* and build again"):
        build._run(command, cwd=tmp_path, seconds=60)


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
