"""Which libraries a program needs: checked against this host's own programs and loader."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.bootstrap.images.elf import Libraries, parse
from pykubelet.errors import Invalid


@pytest.mark.parametrize("program", ["/bin/ls", "/usr/bin/env", "/usr/bin/apt-get", sys.executable])
def test_the_loader_itself_names_the_same_libraries(program: str) -> None:
    path = Path(program).resolve()
    if not path.exists():
        pytest.skip(f"no {program} here")
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    # "libc.so.6 => /lib/… (0x…)", "/lib64/ld-linux-x86-64.so.2 (0x…)"; vdso has no file.
    expected = {line.split()[0].rpartition("/")[2] for line in said.splitlines() if "/" in line}
    found = {library.destination.rpartition("/")[2] for library in Libraries().of(path)}
    assert found == expected


def test_a_static_program_and_a_script_need_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert Libraries().of(script) == []
    if busybox := shutil.which("busybox"):
        assert Libraries().of(Path(busybox)) == []


def test_a_library_that_is_not_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"ls needs .*which isn't here"):
        Libraries(tmp_path).of(Path("/bin/ls"))


@given(st.sampled_from([b"", b"\x7fELF\2\1\1" + bytes(9)]), st.binary(max_size=200))
def test_no_bytes_make_it_fail_in_another_way_than_by_saying_damaged(
    head: bytes, tail: bytes
) -> None:
    with suppress(Invalid):
        parse(head + tail)
