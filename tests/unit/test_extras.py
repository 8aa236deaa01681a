"""What installs an extra names libraries, and no release that may not be there."""

from __future__ import annotations

from importlib import metadata

import pytest

from chaoskernel.extras import pip_install


def test_it_names_the_libraries_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    required = [
        "click>=8.1",
        'virtme-ng>=1.31; extra == "lab"',
        "jinja2>=3.1; extra == 'report'",
        "vl-convert-python<2,>=1.9; extra == 'report'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda _: required)
    assert pip_install("lab") == "pip install 'virtme-ng>=1.31'"
    assert pip_install("report") == "pip install 'jinja2>=3.1' 'vl-convert-python<2,>=1.9'"


def test_in_a_checkout_that_is_not_installed_it_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: None)
    assert pip_install("lab") == "pip install '.[lab]'"
