"""Modules that most experiments have no use for, and that are imported by those that do.

A module costs a tenth of a second in a virtual machine that has just booted, and this package has
more than two hundred.  Standard library only.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class Lazy:
    """Stands for a module, which is imported when something of it is first asked for.

    To have its types checked as those of any other:

        if TYPE_CHECKING:
            from chaoskernel.k8s import access
        else:
            access = Lazy("chaoskernel.k8s.access")
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


class _Deferred(ModuleType):
    """Stands for a module in the list of those that are imported."""

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # the import statement looks at these
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)


def defer(name: str) -> None:
    """Have a module imported when something of it is first asked for, whoever has imported it.

    For modules of the standard library that others of it import, and hardly ever use.
    """
    if name not in sys.modules:
        sys.modules[name] = _Deferred(name)
