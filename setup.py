"""What setup.cfg cannot say: the BPF object, the gallery, and a README that is read elsewhere."""

from __future__ import annotations

import re
import shutil
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
        from chaoskernel.errors import ChaosKernelError, MissingTool  # noqa: PLC0415

        root = HERE if self.editable_mode else Path(self.build_lib)
        place = root / "chaoskernel" / "bpf" / text.OBJECT
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            clang.compile_object(place)
        except MissingTool as error:
            # pip shows the last line: it has to have the cause and the remedy.
            raise SystemExit(
                f"the program for the kernel cannot be compiled: {error.message}; "
                f"apt-get install {clang.PACKAGES}"
            ) from None
        except ChaosKernelError as error:
            raise SystemExit(f"the program for the kernel cannot be compiled: {error}") from None
        if not self.editable_mode:
            # They stay at the top of the sources, where experiments name each other's files.
            shutil.copytree(
                HERE / "experiments", root / "chaoskernel" / "experiments", dirs_exist_ok=True
            )


class WheelOfOneMachine(bdist_wheel):
    """Any Python 3 will do, but the object is for one machine."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


def described() -> str:
    """Return the README for an index of packages, which has none of the files beside it.

    A link to one becomes its name; the source distribution has the file.  Pictures are left out.
    """
    text = (HERE / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^\]]*)\]\((?!https?:|#)([^)#]*)[^)]*\)", _named, text)


def _named(link: re.Match[str]) -> str:
    label, path = link[1], link[2]
    return f"`{path}`" if label in (path, path.removesuffix("/")) else f"{label} (`{path}`)"


setup(
    long_description=described(),
    long_description_content_type="text/markdown",
    cmdclass={"build_py": BuildWithObject, "bdist_wheel": WheelOfOneMachine},
)
