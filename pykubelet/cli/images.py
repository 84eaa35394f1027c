"""`pykubelet images build|import|list|builtin`: images from local files, no registry, no docker.

What they do lives in `pykubelet.bootstrap.images`; here are the words, the progress bars and the
errors that a person sees before anything is written.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pykubelet.bootstrap.images import layouts, recipes
from pykubelet.bootstrap.images.names import full_name
from pykubelet.bootstrap.images.store import SOCKET, Store
from pykubelet.bootstrap.images.trees import File, Tree
from pykubelet.cli.exits import OK
from pykubelet.cli.output import print_table
from pykubelet.errors import Invalid

SUMMARY = "make images from local files and hand them to the runtime"

# Below this a bar would only flash.
_WORTH_A_BAR = 8 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    store = argparse.ArgumentParser(add_help=False)
    store.add_argument(
        "--address", type=Path, default=SOCKET, metavar="SOCKET",
        help="containerd's socket (default: %(default)s)",
    )  # fmt: skip

    build = verbs.add_parser(
        "build",
        parents=[store],
        help="make an image of files and folders of this host",
        description="Make an image of files and folders of this host and import it, pinned. The "
        "shared libraries of its programs come along by themselves. The same files always make "
        "the same image.",
        epilog="Example: pykubelet images build -t localhost/web:1 --file /usr/bin/caddy "
        "--file ./site=/srv --entrypoint '/usr/bin/caddy file-server --root /srv'",
    )
    build.add_argument("-t", "--tag", required=True, metavar="NAME", help="the image's name")
    build.add_argument(
        "--from", dest="folders", action="append", default=[], type=Path, metavar="DIR",
        help="a folder whose content becomes the image's root (several: later ones on top)",
    )  # fmt: skip
    build.add_argument(
        "--file", dest="files", action="append", default=[], metavar="PATH[=DEST]",
        help="a file or folder, at DEST in the image (default: at the same path)",
    )  # fmt: skip
    build.add_argument("--entrypoint", default="", metavar="COMMAND", help="as shell words")
    build.add_argument("--cmd", default="", metavar="ARGUMENTS", help="default arguments")
    build.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    build.add_argument("--user", default="", metavar="UID[:GID]")
    build.add_argument("--workdir", default="", metavar="DIR")
    build.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    build.add_argument(
        "--no-libraries", action="store_true", help="don't add the programs' shared libraries"
    )
    build.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write the archive and import nothing"
    )
    build.set_defaults(run=_build)

    load = verbs.add_parser(
        "import", parents=[store], help="import image archives (OCI layouts, docker save), pinned"
    )
    load.add_argument("archives", nargs="+", type=Path, metavar="FILE")
    load.set_defaults(run=_import)

    listing = verbs.add_parser("list", parents=[store], help="what the runtime has")
    listing.set_defaults(run=_list)

    builtin = verbs.add_parser(
        "builtin",
        parents=[store],
        help="make and import the images that the node itself needs",
        description=f"Make and import {recipes.PAUSE} (holds every pod's sandbox) and "
        f"{recipes.HELLO} (for examples/hello.yaml) from this host's static programs.",
    )
    builtin.set_defaults(run=_builtin)


def _build(args: argparse.Namespace) -> int:
    image = layouts.Image(args.tag, _tree(args), _config(args))
    _check_entrypoint(image)
    _build_and_keep(image, args.output, args.address)
    return OK


def _import(args: argparse.Namespace) -> int:
    for archive in args.archives:
        _load(archive, args.address)
    return OK


def _list(args: argparse.Namespace) -> int:
    rows = [
        (image.name, image.digest.removeprefix("sha256:")[:12], image.size, _yes_no(image.pinned))
        for image in Store(args.address).list()
    ]
    print_table(("IMAGE", "DIGEST", "SIZE", "PINNED"), rows)
    return OK


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _builtin(args: argparse.Namespace) -> int:
    for image in (recipes.pause(), recipes.hello()):
        _build_and_keep(image, None, args.address)
    return OK


# -- building --------------------------------------------------------------------------------------


def _tree(args: argparse.Namespace) -> Tree:
    tree = Tree()
    for folder in args.folders:
        if not folder.is_dir():
            raise Invalid("not a folder", where=f"--from {folder}")
        tree.add_host_path(folder, "/")
    for file in args.files:
        source, _, target = file.partition("=")
        # What a link on the command line points to is meant; links inside a folder stay links.
        path = Path(source).resolve()
        if not path.exists():
            raise Invalid("no such file", where=f"--file {file}")
        tree.add_host_path(path, target or str(Path(source).absolute()))
    if not len(tree):
        raise Invalid("an image needs files", remedy="name some with --from or --file")
    if not args.no_libraries:
        tree.add_libraries()
    return tree


def _config(args: argparse.Namespace) -> layouts.Json:
    """The OCI config; what was not given is left out."""
    for pair in (*args.env, *args.label):
        if "=" not in pair:
            raise Invalid("expected NAME=VALUE", found=repr(pair))
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env = args.env if any(e.startswith("PATH=") for e in args.env) else [path, *args.env]
    config = {
        "Entrypoint": shlex.split(args.entrypoint),
        "Cmd": shlex.split(args.cmd),
        "Env": env,
        "User": args.user,
        "WorkingDir": args.workdir,
        "Labels": dict(label.split("=", 1) for label in args.label),
    }
    return {key: value for key, value in config.items() if value}


def _check_entrypoint(image: layouts.Image) -> None:
    """Say now what the runtime would only say as "no such file or directory" at the pod's start."""
    program = next(iter(image.config.get("Entrypoint") or image.config.get("Cmd") or ()), "")
    if not program.startswith("/"):
        return
    found = image.tree.find(program)
    if not isinstance(found, File):
        raise Invalid(
            "the entrypoint isn't in the image", found=program, remedy=f"add it: --file {program}"
        )
    first = found.read()[:256].split(b"\n")[0]
    interpreter = first[2:].split()[:1] if first.startswith(b"#!") else []
    for name in interpreter:
        if image.tree.find(name.decode(errors="replace")) is None:
            raise Invalid(
                f"the entrypoint {program} is a script whose interpreter isn't in the image",
                found=name.decode(errors="replace"),
                remedy="add it with --file",
            )


def _build_and_keep(image: layouts.Image, output: Path | None, socket: Path) -> None:
    """Write the archive to `output`, or import it where there is none."""
    size = sum(e.size() for _, e in image.tree if isinstance(e, File))
    with tempfile.TemporaryDirectory(prefix="pykubelet-image-") as folder:
        archive = output or Path(folder, "image.tar")
        with _bar(f"packing {image.name}", size) as advance:
            digest = layouts.write(image, archive, progress=advance)
        if output is None:
            _load(archive, socket)
        else:
            print(f"✓ {full_name(image.name)} {digest} written to {output}")


def _load(archive: Path, socket: Path) -> None:
    if not archive.is_file():
        raise Invalid("no such file", where=str(archive))
    with _bar(f"importing {archive.name}", archive.stat().st_size) as advance:
        names = Store(socket).load(archive, advance)
    for name in names:
        print(f"✓ {name} imported, pinned")


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, for work that takes a while; else nothing."""
    if total < _WORTH_A_BAR or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())  # fmt: skip # noqa: E501
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
