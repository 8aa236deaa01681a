"""A kernel qualifies by its configuration; the cache is found by source and fragment."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from chaoskernel.lab import build, kernel

SOURCE = build.Source(Path("/usr/src/linux-source-6.1.tar.xz"), "6.1.1")
FRAGMENT = "CONFIG_KPROBES=y\n"


def put_in_cache(root: Path, source: build.Source, fragment: str, release: str) -> Path:
    directory = build.directory(root, source, fragment)
    directory.mkdir(parents=True)
    record = {"release": release, "fragment": build.digest(fragment)}
    (directory / build.RECORD).write_text(json.dumps(record))
    return directory


def test_the_packages_own_fragment_qualifies() -> None:
    assert kernel.lacking(build.fragment()) == ()


def test_a_fault_option_must_be_built_in_and_a_boot_option_may_be_a_module() -> None:
    config = build.fragment().replace("CONFIG_FAILSLAB=y", "CONFIG_FAILSLAB=m")
    config = config.replace("CONFIG_9P_FS=y", "CONFIG_9P_FS=m")
    assert kernel.lacking(config) == ("FAILSLAB",)


def test_an_option_in_a_comment_is_not_set() -> None:
    config = build.fragment().replace("CONFIG_FAILSLAB=y", "# CONFIG_FAILSLAB is not set")
    assert kernel.lacking(config) == ("FAILSLAB",)


def test_the_running_kernel_qualifies_with_an_image_and_the_options(tmp_path: Path) -> None:
    release = os.uname().release
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / f"vmlinuz-{release}").touch()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(build.fragment().encode()))
    found = kernel.running(tmp_path)
    assert found is not None
    assert (found.release, found.headers, found.origin) == (release, None, "running")


def test_the_running_kernel_does_not_qualify_without_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / f"vmlinuz-{os.uname().release}").touch()
    assert kernel.running(tmp_path) is None


def test_a_cached_kernel_is_that_of_the_source_and_the_fragment(tmp_path: Path) -> None:
    directory = put_in_cache(tmp_path, SOURCE, FRAGMENT, "6.1.1")
    found = kernel.cached(tmp_path, SOURCE, FRAGMENT)
    assert found == kernel.Kernel(
        directory / "boot/vmlinuz-6.1.1",
        "6.1.1",
        directory / "lib/modules/6.1.1/build",
        "cached",
    )
    newer = build.Source(SOURCE.tarball, "6.1.2")
    assert kernel.cached(tmp_path, newer, FRAGMENT) is None
    assert kernel.cached(tmp_path, SOURCE, "CONFIG_KPROBES=n\n") is None


def test_without_a_source_any_kernel_of_the_fragment_will_do(tmp_path: Path) -> None:
    put_in_cache(tmp_path, SOURCE, "CONFIG_OTHER=y\n", "5.10.0")
    put_in_cache(tmp_path, SOURCE, FRAGMENT, "6.1.1")
    found = kernel.cached(tmp_path, None, FRAGMENT)
    assert found is not None
    assert found.release == "6.1.1"


@pytest.mark.parametrize(
    ("version", "release"), [("6.1", "6.1.1"), ("6.12", "6.12.9"), ("6.2", None)]
)
def test_without_a_source_a_kernel_of_that_version_will_do(
    tmp_path: Path, version: str, release: str | None
) -> None:
    put_in_cache(tmp_path, SOURCE, FRAGMENT, "6.1.1")
    put_in_cache(tmp_path, build.Source(SOURCE.tarball, "6.12"), FRAGMENT, "6.12.9")
    found = kernel.cached(tmp_path, None, FRAGMENT, version)
    assert (found.release if found else None) == release


def test_an_unfinished_build_is_not_in_the_cache(tmp_path: Path) -> None:
    (build.directory(tmp_path, SOURCE, FRAGMENT) / "linux").mkdir(parents=True)
    assert kernel.cached(tmp_path, SOURCE, FRAGMENT) is None
    assert kernel.cached(tmp_path, None, FRAGMENT) is None
