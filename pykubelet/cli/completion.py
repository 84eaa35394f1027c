"""`pykubelet completion bash|zsh|fish`: a script for the shell to complete commands and pods.

Made from the parsers themselves, so it can't tell of options that don't exist. Pod names are asked
of the agent at the moment of the key press.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pykubelet.cli.exits import OK

SUMMARY = "a completion script for your shell"

_PODS = "pykubelet status -o name 2>/dev/null"
_WITH_PODS = ("why", "logs", "exec")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(_MAKERS))
    parser.epilog = (
        "  bash: pykubelet completion bash > /etc/bash_completion.d/pykubelet\n"
        "  zsh:  pykubelet completion zsh > /usr/local/share/zsh/site-functions/_pykubelet\n"
        "  fish: pykubelet completion fish > /etc/fish/completions/pykubelet.fish"
    )


def run(args: argparse.Namespace) -> int:
    from pykubelet.cli.main import build_parser

    print(_MAKERS[args.shell](dict(_commands(build_parser()))))
    return OK


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Long options, choices of positional arguments, and the names of subcommands."""
    words: list[str] = []
    for action in parser._actions:
        words += [option for option in action.option_strings if option.startswith("--")]
        if not action.option_strings and action.choices:
            words += [str(choice) for choice in action.choices]
    return words


def _bash(commands: dict[str, argparse.ArgumentParser]) -> str:
    cases = "\n".join(
        f"    {name}) words='{' '.join(_words(parser))}'"
        + (f'; pods="$({_PODS})"' if name in _WITH_PODS else "")
        + " ;;"
        for name, parser in commands.items()
    )
    return f"""\
# bash completion of pykubelet
_pykubelet() {{
  local words='' pods='' current="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='{" ".join(commands)}'
  else
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words $pods" -- "$current"))
}}
complete -o default -F _pykubelet pykubelet"""


def _zsh(commands: dict[str, argparse.ArgumentParser]) -> str:
    cases = "\n".join(
        f"    {name}) compadd -- {' '.join(_words(parser))}"
        + (f" $({_PODS})" if name in _WITH_PODS else "")
        + "; _files ;;"
        for name, parser in commands.items()
    )
    return f"""\
#compdef pykubelet
_pykubelet() {{
  if (( CURRENT == 2 )); then
    compadd -- {" ".join(commands)}
    return
  fi
  case "$words[2]" in
{cases}
  esac
}}
compdef _pykubelet pykubelet"""


def _fish(commands: dict[str, argparse.ArgumentParser]) -> str:
    lines = ["# fish completion of pykubelet"]
    lines.append(f"complete -c pykubelet -n __fish_use_subcommand -f -a '{' '.join(commands)}'")
    for name, parser in commands.items():
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        for word in _words(parser):
            kind = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c pykubelet {seen} {kind}")
        if name in _WITH_PODS:
            lines.append(f"complete -c pykubelet {seen} -a '({_PODS})'")
    return "\n".join(lines)


_MAKERS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
