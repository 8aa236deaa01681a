"""The images that `make image` has built: one list, an image for each architecture in it.

Nothing of them is run: what an agent needs is looked for in their layers.
"""

from __future__ import annotations

import functools
import io
import json
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskernel import __version__
from chaoskernel.bpf.text import object_name
from chaoskernel.compiler.clang import ARCHITECTURES
from chaoskernel.k8s.architectures import MACHINES

BUILT = Path(__file__).parents[2] / "build/image"
NAMES = ("chaoskernel", "chaoskernel-slim")
ELF_MACHINES = {"amd64": 62, "arm64": 183}  # EM_X86_64, EM_AARCH64
LIBRARIES = {"amd64": "usr/lib/x86_64-linux-gnu", "arm64": "usr/lib/aarch64-linux-gnu"}
PACKAGE = "usr/lib/python3/dist-packages/chaoskernel"


class Archive:
    """An OCI layout in a tar file."""

    def __init__(self, name: str) -> None:
        self._file = tarfile.open(BUILT / f"{name}-all.tar")  # noqa: SIM115 - kept for all tests
        self.index = json.loads(self._read("index.json"))

    def _read(self, name: str) -> bytes:
        file = self._file.extractfile(name)
        assert file is not None
        return file.read()

    def blob(self, described: dict[str, Any]) -> bytes:
        return self._read(f"blobs/{described['digest'].replace(':', '/')}")

    def images(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the architecture and the manifest of each image of the list."""
        (entry,) = self.index["manifests"]
        assert entry["mediaType"] == "application/vnd.oci.image.index.v1+json"
        for each in json.loads(self.blob(entry))["manifests"]:
            assert each["platform"]["os"] == "linux"
            yield each["platform"]["architecture"], json.loads(self.blob(each))


@functools.cache
def archive(name: str) -> Archive:
    return Archive(name)


@functools.cache
def image(name: str, architecture: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return an image's configuration, and the beginnings of its files; links have none."""
    whole = archive(name)
    manifest = dict(whole.images())[architecture]
    files = {}
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(whole.blob(layer))) as content:
            for member in content:
                file = content.extractfile(member) if member.isreg() else None
                files[member.name.removeprefix("./")] = file.read(64) if file else b""
    return json.loads(whole.blob(manifest["config"])), files


def elf_machine(beginning: bytes) -> int:
    assert beginning[:4] == b"\x7fELF"
    return int(struct.unpack_from("<H", beginning, 18)[0])


@pytest.fixture(params=[(name, each) for name in NAMES for each in MACHINES], ids="-".join)
def which(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


@pytest.mark.parametrize("name", NAMES)
def test_one_list_has_an_image_for_each_architecture(name: str) -> None:
    assert {each for each, _ in archive(name).images()} == set(MACHINES)
    (entry,) = archive(name).index["manifests"]
    tag = entry["annotations"]["org.opencontainers.image.ref.name"]
    assert tag == f"localhost/{name}:{__version__}"


def test_each_says_what_it_is_for(which: tuple[str, str]) -> None:
    configuration, _ = image(*which)
    assert (configuration["architecture"], configuration["os"]) == (which[1], "linux")


def test_each_has_the_python_and_libraries_of_its_architecture(which: tuple[str, str]) -> None:
    _, files = image(*which)
    machine = ELF_MACHINES[which[1]]
    assert "usr/bin/python3" in files
    assert elf_machine(files["usr/bin/python3.11"]) == machine
    (libbpf,) = (name for name in files if name.startswith(f"{LIBRARIES[which[1]]}/libbpf.so.1."))
    assert elf_machine(files[libbpf]) == machine
    bcc = "usr/lib/python3/dist-packages/bcc/libbcc.py" in files
    assert bcc is (which[0] == "chaoskernel")


def test_each_has_the_agent_and_the_object_of_its_architecture(which: tuple[str, str]) -> None:
    _, files = image(*which)
    machine = MACHINES[which[1]]
    assert machine in ARCHITECTURES
    assert files[f"{PACKAGE}/bpf/{object_name(machine)}"][:4] == b"\x7fELF"
    assert f"{PACKAGE}/agent/__main__.py" in files


@pytest.mark.parametrize("name", NAMES)
def test_they_are_run_alike(name: str) -> None:
    """A Job says nothing of commands and users."""
    first, *others = (image(name, each)[0]["config"] for each in MACHINES)
    assert first["Entrypoint"] == ["/usr/bin/python3", "-I", "-m", "chaoskernel.agent"]
    for other in others:
        for key in ("Entrypoint", "User", "Env", "Labels"):
            assert {key: other[key]} == {key: first[key]}
