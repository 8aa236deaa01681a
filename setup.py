"""What setup.cfg cannot say: the BPF objects, the gallery, and a README that is read elsewhere."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent

sys.path.insert(0, str(HERE))  # nothing of the package is installed yet


class BuildWithObjects(build_py):
    """Compile the objects into the build, or, for an editable installation, beside their source."""

    def run(self) -> None:
        super().run()
        from chaoskernel.compiler import clang, shipped  # noqa: PLC0415 - see above
        from chaoskernel.errors import ChaosKernelError, MissingTool  # noqa: PLC0415

        root = HERE if self.editable_mode else Path(self.build_lib)
        place = root / "chaoskernel" / "bpf"
        place.mkdir(parents=True, exist_ok=True)
        try:
            shipped.compile_all(place)
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
    cmdclass={"build_py": BuildWithObjects},
)
