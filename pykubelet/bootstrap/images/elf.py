"""Which shared libraries a program needs, read from its ELF headers.

An image made from local files holds a program and nothing of the distribution around it, so
`trees` asks here what else has to come along. `ldd` would run the program's loader; reading the
headers is safe for programs that aren't trusted, and works for a root folder other than `/`.

Source: the System V ABI (gABI) chapters "Program Header" and "Dynamic Linking", and ld.so(8) for
the order of search.
"""

from __future__ import annotations

import glob
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pykubelet.errors import Invalid

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 15, 29


@dataclass(frozen=True, slots=True)
class Elf:
    """The part of a program's headers that tells what it needs to start."""

    machine: int  # e_machine: 62 is x86-64, 183 is AArch64
    bits: int
    interpreter: str | None
    needed: tuple[str, ...]
    search: tuple[str, ...]  # DT_RPATH or DT_RUNPATH, with $ORIGIN as written


def parse(data: bytes) -> Elf | None:
    """The headers of an ELF file, or None where `data` is something else (a script, a picture).

    Raises Invalid where it starts like ELF and then contradicts itself.
    """
    if data[:4] != b"\x7fELF" or len(data) < 52:
        return None
    try:
        return _parse(data)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise Invalid("damaged ELF file", found=str(error)) from error


def _parse(data: bytes) -> Elf:
    bits = 64 if data[4] == 2 else 32
    order = "<" if data[5] == 1 else ">"
    machine = struct.unpack_from(f"{order}H", data, 18)[0]
    if bits == 64:
        table, size, count = (
            *struct.unpack_from(f"{order}Q", data, 32),
            *struct.unpack_from(f"{order}HH", data, 54),
        )
    else:
        table, size, count = (
            *struct.unpack_from(f"{order}I", data, 28),
            *struct.unpack_from(f"{order}HH", data, 42),
        )
    loads: list[tuple[int, int, int]] = []  # address, offset, size in the file
    dynamic: tuple[int, int] | None = None
    interpreter: str | None = None
    for at in range(table, table + size * count, size):
        if bits == 64:
            kind, _, offset, address, _, length = struct.unpack_from(f"{order}IIQQQQ", data, at)
        else:
            kind, offset, address, _, length = struct.unpack_from(f"{order}IIIII", data, at)
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, length)
        elif kind == _PT_INTERP:
            interpreter = data[offset : offset + length].rstrip(b"\0").decode()
    if dynamic is None:
        return Elf(machine, bits, interpreter, (), ())
    needed, search = _dynamic(data, order, bits, dynamic, loads)
    return Elf(machine, bits, interpreter, needed, search)


def _dynamic(
    data: bytes, order: str, bits: int, where: tuple[int, int], loads: list[tuple[int, int, int]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    entry = struct.Struct(f"{order}qQ" if bits == 64 else f"{order}iI")
    values: dict[int, list[int]] = {}
    for at in range(where[0], where[0] + where[1] - entry.size + 1, entry.size):
        tag, value = entry.unpack_from(data, at)
        if tag == _DT_NULL:
            break
        values.setdefault(tag, []).append(value)
    if _DT_STRTAB not in values:
        return (), ()
    strings = _file_offset(values[_DT_STRTAB][0], loads)

    def text(index: int) -> str:
        start = strings + index
        return data[start : data.index(b"\0", start)].decode()

    # DT_RUNPATH, where it is given, makes the loader ignore DT_RPATH.
    paths = values.get(_DT_RUNPATH) or values.get(_DT_RPATH) or []
    search = [part for index in paths for part in text(index).split(":") if part]
    return tuple(map(text, values.get(_DT_NEEDED, ()))), tuple(search)


def _file_offset(address: int, loads: list[tuple[int, int, int]]) -> int:
    for start, offset, length in loads:
        if start <= address < start + length:
            return address - start + offset
    raise ValueError(f"address {address:#x} is in no segment")


# -- finding the libraries -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Library:
    """A file that a program needs: where it is on this host, and where an image should have it."""

    source: Path
    destination: str


class Libraries:
    """Finds libraries below `root` the way ld.so(8) does, apart from its cache: the folders of
    /etc/ld.so.conf, then the trusted ones."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._trusted = _trusted(root)
        configured = [f for f in _configured(root, "/etc/ld.so.conf") if f not in self._trusted]
        self._folders = [*self._trusted, *configured]

    def of(self, program: Path) -> list[Library]:
        """All that `program` needs besides itself, transitively, the interpreter first; empty for
        a static program and for anything that isn't one. Raises Invalid naming what is missing."""
        found: dict[str, Library] = {}
        waiting = [(program, str(program))]
        while waiting:
            path, name = waiting.pop()
            elf = parse(path.read_bytes())
            if elf is None:
                continue
            if elf.interpreter and elf.interpreter not in found:
                where = self._below_root(elf.interpreter)
                if not where.exists():
                    raise Invalid(f"{name} needs {elf.interpreter}, which isn't here")
                found[elf.interpreter] = Library(where, elf.interpreter)
            for library in elf.needed:
                # The interpreter is itself a library that others name.
                if library in found or any(
                    f.destination.endswith(f"/{library}") for f in found.values()
                ):
                    continue
                found[library] = self._find(library, elf, path, name)
                waiting.append((found[library].source, library))
        return list(found.values())

    def _find(self, library: str, elf: Elf, user: Path, name: str) -> Library:
        origin = "/" + str(user.resolve().parent.relative_to(self._root.resolve()))
        own = [p.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for p in elf.search]
        for folder in (*own, *self._folders):
            source = self._below_root(folder) / library
            if not source.is_file() or not _fits(source, elf):
                continue
            # The image has no ld.so.cache, so a folder known only to ld.so.conf wouldn't be found.
            known = folder in own or folder in self._trusted
            return Library(source, f"{folder if known else '/usr/lib'}/{library}")
        raise Invalid(
            f"{name} needs the library {library}, which isn't here",
            expected="it in one of " + ", ".join((*own, *self._folders)),
        )

    def _below_root(self, path: str) -> Path:
        return self._root / path.lstrip("/")


def _fits(path: Path, user: Elf) -> bool:
    with path.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF":
        return False
    machine = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    return machine == user.machine and (64 if head[4] == 2 else 32) == user.bits


def _trusted(root: Path) -> list[str]:
    """Folders that glibc's and musl's loaders search without being told."""
    multiarch = [
        f"/{base}/{path.name}"
        for base in ("lib", "usr/lib")
        for path in sorted((root / base).glob("*-linux-gnu*"))
        if path.is_dir()
    ]
    return [*multiarch, "/lib64", "/usr/lib64", "/lib", "/usr/lib"]


def _configured(root: Path, file: str) -> Iterator[str]:
    try:
        lines = (root / file.lstrip("/")).read_text().splitlines()
    except OSError:
        return
    for line in lines:
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                for found in sorted(glob.glob(str(root / pattern.lstrip("/")))):
                    yield from _configured(root, str(Path(found).relative_to(root)))
        elif words:
            yield words[0].rstrip("/")
