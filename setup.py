"""What setup.cfg cannot say: the BPF object is made from its source when a wheel is."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent

sys.path.insert(0, str(HERE))  # nothing of the package is installed yet


class BuildWithObject(build_py):
    """Compile the object into the build, or, for an editable installation, beside its source."""

    def run(self) -> None:
        super().run()
        from chaoskernel.bpf import text  # noqa: PLC0415
        from chaoskernel.compiler import clang  # noqa: PLC0415 - see above

        root = HERE if self.editable_mode else Path(self.build_lib)
        place = root / "chaoskernel" / "bpf" / text.OBJECT
        place.parent.mkdir(parents=True, exist_ok=True)
        clang.compile_object(place)


class WheelOfOneMachine(bdist_wheel):
    """Any Python 3 will do, but the object is for one machine."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildWithObject, "bdist_wheel": WheelOfOneMachine})
