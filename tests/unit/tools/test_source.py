"""Kubernetes is built once: what is in the cache is taken as it is."""

from __future__ import annotations

from pathlib import Path

from tools.cluster import source


class Silent:
    def phase(self, text: str) -> None:
        raise AssertionError(f"nothing is to be done, but: {text}")

    def advance(self, done: int, expected: int, unit: str = "objects") -> None:
        raise AssertionError("nothing is to be built")


def test_what_was_built_is_taken_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "kubernetes" / source.VERSION / "bin"
    place.mkdir(parents=True)
    assert source.binaries(Silent(), tmp_path) == place


def test_packages_with_described_types_are_named_as_they_are_imported(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    marked = "// +k8s:openapi-gen=true\npackage v1\n"
    write("pkg/apis/v1/doc.go", marked)
    write("pkg/apis/v2/doc.go", "package v2\n")
    write("pkg/apis/testdata/doc.go", marked)
    write("staging/src/k8s.io/api/core/v1/doc.go", marked)
    write("vendor/k8s.io/code-generator/x/doc.go", marked)
    write("cmd/main.go", "package main\n")
    (tmp_path / "vendor/k8s.io/api").symlink_to("../../staging/src/k8s.io/api")
    assert source.described(tmp_path) == ["pkg/apis/v1", "vendor/k8s.io/api/core/v1"]
