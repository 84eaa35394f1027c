"""The command line itself: quick to start, clear about trouble, at home in a shell."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pykubelet.cli.exits import CODES
from pykubelet.cli.main import COMMANDS, load, main

HEAVY = ("grpc", "cryptography", "requests", "pyroute2", "rich", "psutil", "watchdog")


def test_every_command_has_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    for name in COMMANDS:
        assert name in said
        assert load(name).SUMMARY.split()[0] in said
        assert (load(name).__doc__ or "").startswith(f"`pykubelet {name}")
    for meaning in CODES.values():
        assert meaning in said


@pytest.mark.parametrize("words", [["--help"], ["status", "--help"], ["version"], ["exec", "-h"]])
def test_asking_for_words_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom pykubelet.cli.main import main\n"
        f"try: main({words!r})\nexcept SystemExit: pass\n"
        f"found = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "print(found, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nonsense"], 2),
        (["status", "--nonsense"], 2),
        (["status", "--socket", "/none"], 3),
        (["logs", "x", "--socket", "/none", "--tail", "x"], 2),
        (["exec", "x", "--socket", "/none", "ls"], 3),
        (["why", "default/x", "--socket", "/none"], 3),
        (["why", "/none.yaml", "--socket", "/none"], 1),
        (["version", "--socket", "/none"], 0),
    ],
)
def test_the_exit_code_tells_the_kind_of_trouble(words: list[str], code: int) -> None:
    try:
        assert main(words) == code
    except SystemExit as end:  # argparse's own
        assert end.code == code  # noqa: PT017


def test_no_agent_is_said_in_one_line_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--socket", "/none"]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the agent isn't running" in said
    assert "systemctl start pykubelet" in said


def test_a_reader_who_has_had_enough_is_no_trouble() -> None:
    """`pykubelet completion bash | head -1`"""
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m pykubelet.cli.main completion bash | head -1"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stderr == b""
    assert done.stdout == b"# bash completion of pykubelet\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_good_shell(
    shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "--timestamps" in script or "-l timestamps" in script
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed; only its text was made")
    (tmp_path / "c").write_text(script)
    subprocess.run([shell, "-n", tmp_path / "c"], check=True)


def test_bash_completes_commands_options_and_subcommands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    main(["completion", "bash"])
    (tmp_path / "c").write_text(capsys.readouterr().out)

    def completed(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in words)
        script = (
            f"source {tmp_path / 'c'}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
            'PATH=; _pykubelet; echo "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert completed("pykubelet", "sta") == ["status"]
    assert completed("pykubelet", "logs", "--fol") == ["--follow"]
    assert "import" in completed("pykubelet", "images", "")
    assert completed("pykubelet", "completion", "z") == ["zsh"]
