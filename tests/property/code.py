"""What a compiler makes of texts that were accepted, and what it must not be.

Two looks: clang's own tokens of each text, and the instructions of the object in which each is
compiled as the product does it, and once more as BCC is given it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from chaoskernel.compiler import clang, objects
from chaoskernel.errors import InvalidFault
from chaoskernel.fault import predicate
from chaoskernel.process import CommandFailed

STACK = 10
"""The register that points to the stack."""

PROBE_READ_KERNEL = 113
"""The helper that the program reads the kernel's memory with (bpf_probe_read_kernel)."""

_TOKENS = frozenset(
    {
        *("identifier", "numeric_constant", "char_constant", "string_literal", "comma", "period"),
        *("l_paren", "r_paren", "l_square", "r_square", "arrow", "question", "colon", "sizeof"),
        *("plus", "minus", "star", "slash", "percent", "amp", "pipe", "caret", "tilde", "exclaim"),
        *("ampamp", "pipepipe", "equalequal", "exclaimequal", "less", "greater", "lessequal"),
        *("greaterequal", "lessless", "greatergreater", "const", "restrict", "volatile", "struct"),
        *("union", "enum", "char", "int", "long", "short", "signed", "unsigned", "void", "_Bool"),
    }
)
"""As clang calls them."""

_TOKEN = re.compile(r"^(\w+) '.*?\tLoc=<[^>]*?:(\d+):\d+>", re.MULTILINE | re.DOTALL)
_OPEN = {"l_paren": "r_paren", "l_square": "r_square"}
_ERROR = re.compile(r"users\.h:(\d+):\d+: (?:fatal )?error: ")
_STRICT = (
    "-Wno-everything",
    "-Werror=implicit-function-declaration",
    "-ferror-limit=0",
    "-fno-crash-diagnostics",
)


@dataclasses.dataclass(frozen=True)
class Accepted:
    """A predicate and the parameters that it is about, both accepted.

    :param is_parsed: it is what the parser made; else only the agent's check has taken it.
    """

    predicate: str
    parameters: str
    is_parsed: bool = True


def wrong_tokens(texts: Sequence[str]) -> list[str]:
    """Return what clang finds in texts that no expression and no list of parameters has.

    Each has a line of its own; a text that ends its line, or opens what it does not close,
    is told by the lines of the tokens.
    """
    with tempfile.TemporaryDirectory(prefix="chaoskernel-") as name:
        path = Path(name, "texts.c")
        path.write_bytes("".join(f"{text}\n" for text in texts).encode())
        ended = subprocess.run(
            ["clang", "-trigraphs", "-fsyntax-only", "-w", "-Xclang", "-dump-tokens", str(path)],
            capture_output=True,
            check=False,
            timeout=600,
        )
    found: dict[int, list[str]] = {}
    for kind, line in _TOKEN.findall(ended.stderr.decode(errors="replace")):
        if kind != "eof":
            found.setdefault(int(line), []).append(kind)
    wrong = []
    for number, text in enumerate(texts, 1):
        kinds = found.pop(number, [])
        if text and (not kinds or not _is_one(kinds)):
            wrong.append(text)
    return wrong + [f"tokens on line {line}" for line in found]


def _is_one(kinds: Sequence[str]) -> bool:
    open_: list[str] = []
    for kind in kinds:
        if kind not in _TOKENS:
            return False
        if kind in _OPEN:
            open_.append(_OPEN[kind])
        elif kind in _OPEN.values() and (not open_ or open_.pop() != kind):
            return False
    return not open_


def wrong_code(accepted: Sequence[Accepted]) -> tuple[list[str], int]:
    """Compile texts; return what is in the object that must not be, and how many compile.

    :raises CommandFailed: clang refuses something else than the texts.
    """
    entries = {f"users_{n}": each for n, each in enumerate(accepted)}
    with tempfile.TemporaryDirectory(prefix="chaoskernel-") as name:
        directory = Path(name)
        (directory / "vmlinux.h").write_text(objects._vmlinux_h(), encoding="utf-8")
        image = b""
        while not image:
            try:
                image = _image(directory, entries)
            except CommandFailed as failed:
                entries = _without_errors(directory, entries, failed)
    wrong = list(_wrong_in(image, entries))
    return wrong, len({name.rpartition("_")[0] for name in _ours(image)})


def _image(directory: Path, entries: Mapping[str, Accepted]) -> bytes:
    functions = (text for name, each in entries.items() for text in _functions(name, each))
    around = objects._function("hook_matches", "", "1", "")
    frames = "static __always_inline u32 frames_matched(const u64 *a, u32 n)\n{\n\treturn n;\n}\n"
    text = "\n".join([around, frames, *functions])
    (directory / "users.h").write_text(text, encoding="utf-8")
    output = directory / "out.o"
    options = [*_STRICT, f"-I{directory}", '-DPREDICATES="users.h"']
    clang.compile_object(output, options)
    return output.read_bytes()


def _functions(name: str, each: Accepted) -> Iterator[str]:
    """Yield the functions of a text, for core and for BCC, each with its name on each line."""
    if each.is_parsed:
        try:
            text = objects._function(f"{name}_core", each.parameters, each.predicate, "")
        except InvalidFault:  # of a parameter that no program sees
            text = ""
        head = "static __always_inline bool"
        yield _marked(name, text.replace(head, f'SEC("fentry/{name}") bool', 1))
    comma = f", {each.parameters}" if each.parameters else ""
    yield _marked(
        name,
        f'SEC("fentry/{name}") int BPF_PROG({name}_bcc{comma})\n'
        f"{{\n\tu32 __matched = 0;\n\n\tif ({each.predicate})\n\t\t__matched |= 1;\n"
        "\treturn __matched;\n}\n",
    )


def _marked(name: str, text: str) -> str:
    return "".join(f"{line} /* {name} */\n" for line in text.splitlines())


def _without_errors(
    directory: Path, entries: Mapping[str, Accepted], failed: CommandFailed
) -> dict[str, Accepted]:
    lines = (directory / "users.h").read_text(encoding="utf-8").splitlines()
    wrong = set()
    for found in _ERROR.finditer(failed.output):
        named = re.search(r"/\* (users_\d+) \*/$", lines[int(found[1]) - 1])
        if named:
            wrong.add(named[1])
    # What only the code generator refuses has no line.
    wrong |= set(re.findall(r"In function: (users_\d+)_", failed.output))
    wrong |= set(re.findall(r"error: .*in function (users_\d+)_", failed.output))
    if not wrong:
        raise failed
    return {name: each for name, each in entries.items() if name not in wrong}


@functools.cache
def _symbols_before() -> frozenset[str]:
    """Return what the program has without a text of a user."""
    with tempfile.TemporaryDirectory(prefix="chaoskernel-") as name:
        Path(name, "vmlinux.h").write_text(objects._vmlinux_h(), encoding="utf-8")
        return frozenset(_symbols(_image(Path(name), {})))


def _wrong_in(image: bytes, entries: Mapping[str, Accepted]) -> Iterator[str]:
    ours, names = _ours(image), set(_symbols(image))
    expected = {f"{name}_{form}" for name in entries for form in ("core", "bcc")}
    # A predicate may name a function of the program's, which is then there, and called by nobody.
    own = set(re.findall(r"\w+", clang.SOURCE.read_text(encoding="utf-8")))
    for name in names - _symbols_before() - expected - own:
        if not re.fullmatch(r"\.?L[\w.]+|____users_\d+_bcc|__const\..*|bpf_\w+|", name):
            yield f"the object has a symbol {name}"
    for name, code in ours.items():
        for what in _wrong_instructions(code):
            yield f"{what} in {entries[name.rpartition('_')[0]]}"


def _wrong_instructions(code: bytes) -> Iterator[str]:
    """Yield calls but of the helper that reads, and stores but onto the stack."""
    instructions = [struct.unpack_from("<BBhi", code, at) for at in range(0, len(code), 8)]
    targets = {
        number + 1 + offset
        for number, (operation, _, offset, _) in enumerate(instructions)
        if operation & 7 in (5, 6) and operation not in (0x85, 0x8D, 0x95)
    }
    on_stack = {STACK}
    for number, (operation, registers, _, immediate) in enumerate(instructions):
        target, source, kind = registers & 15, registers >> 4, operation & 7
        if number in targets:
            on_stack = {STACK}
        if operation == 0x85 and (source, immediate) != (0, PROBE_READ_KERNEL):
            yield f"a call ({source}) of {immediate}"
        elif operation == 0x8D:
            yield "a call by pointer"
        elif kind in (2, 3):
            if target not in on_stack:
                yield f"a store by r{target}"
        elif operation == 0xBF and source in on_stack:
            on_stack.add(target)
        elif operation == 0x85:
            on_stack -= set(range(6))
        elif operation != 0x07 and kind in (0, 1, 4, 7):
            on_stack -= {target} - {STACK}


def _ours(image: bytes) -> dict[str, bytes]:
    """Return the code of each function of a text."""
    sections = list(_sections(image))
    found = {}
    for name, (index, value, size) in _symbols(image).items():
        if re.fullmatch(r"users_\d+_(core|bcc)", name):
            begin = sections[index][1] + value
            found[name] = image[begin : begin + size]
    return found


def _symbols(image: bytes) -> dict[str, tuple[int, int, int]]:
    """Return section, offset and size of each symbol."""
    sections = list(_sections(image))
    found = {}
    for kind, offset, size, link in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names = image[sections[link][1] :]
        for at in range(offset, offset + size, 24):
            name, _, _, index, value, length = struct.unpack_from("<IBBHQQ", image, at)
            text = names[name : names.index(b"\0", name)].decode()
            found[text] = (index, value, length)
    return found


def _sections(image: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield type, offset, size and link of each section."""
    (table,) = struct.unpack_from("<Q", image, 40)
    each, number = struct.unpack_from("<HH", image, 58)
    if not number:  # too many for the header: the first section has it
        (number,) = struct.unpack_from("<Q", image, table + 32)
    for index in range(number):
        _, kind, _, _, offset, size, link = struct.unpack_from(
            "<IIQQQQI", image, table + index * each
        )
        yield kind, offset, size, link


def canonical(name: str, text: str) -> str:
    """Return what the parser makes of a text."""
    if name == "header":
        return predicate.header(text, key=name)
    parse = predicate.expression if name == "predicate" else predicate.parameters
    return parse(text, key=name)
