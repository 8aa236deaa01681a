"""What an experiment does not use is not imported: a machine that has just booted pays for each."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chaoskernel.lazy import Lazy, defer

IMPORTED = """
import sys
import chaoskernel.actions, chaoskernel.control, chaoskernel.probes
print(*sys.modules)
"""

OF_FEW_EXPERIMENTS = {
    "pycparser",
    "cronsim",
    "kubernetes",
    "chaoskernel.chaosmesh.manifest",
    "chaoskernel.explore.session",
    "chaoskernel.fault.predicate",
    "chaoskernel.k8s.access",
}


def test_what_few_experiments_use_is_not_imported_by_all() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", IMPORTED], stdout=subprocess.PIPE, text=True, check=True, timeout=120
    ).stdout.split()
    assert "chaoskernel.toolkit.injection" in shown
    assert OF_FEW_EXPERIMENTS.isdisjoint(shown)


def test_a_module_is_imported_when_something_of_it_is_asked_for() -> None:
    module = Lazy("colorsys")
    assert module.rgb_to_hls(0.0, 0.0, 0.0) == (0.0, 0.0, 0.0)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        Lazy("no_such_module").name  # noqa: B018


def test_a_deferred_module_is_imported_when_something_of_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    defer("colorsys")
    import colorsys  # noqa: PLC0415 - as the module that has no use for it does

    stand_in = sys.modules["colorsys"]
    assert type(stand_in).__name__ == "_Deferred"
    assert colorsys.rgb_to_hls(0.0, 0.0, 0.0) == (0.0, 0.0, 0.0)
    assert sys.modules["colorsys"] is not stand_in
    with pytest.raises(AttributeError):
        colorsys.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_what_is_imported_already_is_not_deferred() -> None:
    defer("subprocess")
    assert sys.modules["subprocess"] is subprocess
