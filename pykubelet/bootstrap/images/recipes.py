"""The images that a node needs before any registry is in reach, made of Debian's static programs.

`pause` holds every pod's sandbox; `hello` is the example that an installation ends with, and a
usual small shell besides. Both have names of ours, so that no registry is ever asked for them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from pykubelet.bootstrap.images.elf import parse
from pykubelet.bootstrap.images.layouts import Image
from pykubelet.bootstrap.images.trees import Tree
from pykubelet.errors import Invalid

# The number goes up with the recipe: an installed node then gets the new image beside the old one.
PAUSE = "localhost/pykubelet/pause:1"
HELLO = "localhost/pykubelet/hello:1"

# A pod's processes may share its sandbox's PID namespace, where process 1 has to reap orphans and
# to end on SIGTERM. A shell that waits does both; catatonit does it in a tenth of the memory.
_SHELL_PAUSE = "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait $!; done"


def pause(name: str = PAUSE) -> Image:
    """Debian's catatonit in its pause mode (`-P`), or the shell of busybox where there is none."""
    tree = Tree()
    catatonit = shutil.which("catatonit")
    if catatonit and _is_static(Path(catatonit)):
        tree.add_file("/pause", Path(catatonit))
        return Image(name, tree, {"Entrypoint": ["/pause", "-P"]})
    _add_busybox(tree, "sh", "sleep")
    return Image(name, tree, {"Entrypoint": ["/bin/sh", "-c", _SHELL_PAUSE]})


def hello(name: str = HELLO) -> Image:
    """busybox with all its applets, the accounts that programs expect, and a web root in /www."""
    return Image(name, shell(), {"Cmd": ["sh"], "Env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"]})


def shell() -> Tree:
    """A small root file system around busybox."""
    tree = Tree()
    for path, mode in (("/dev", 0o755), ("/proc", 0o555), ("/sys", 0o555), ("/root", 0o700),
                       ("/tmp", 0o1777), ("/var/tmp", 0o1777), ("/www", 0o777)):  # fmt: skip
        tree.add_folder(path, mode)
    accounts = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
    tree.add_file("/etc/passwd", accounts.encode())
    tree.add_file("/etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    busybox = _busybox()
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    _add_busybox(tree, *listed.stdout.split())
    return tree


def _add_busybox(tree: Tree, *applets: str) -> None:
    tree.add_file("/bin/busybox", _busybox(), 0o755)
    for applet in applets:
        if applet != "busybox":
            tree.add_link(f"/bin/{applet}", "busybox")


def _busybox() -> Path:
    found = shutil.which("busybox")
    if not found or not _is_static(Path(found)):
        raise Invalid("no static busybox here", remedy="apt install busybox-static")
    return Path(found)


def _is_static(program: Path) -> bool:
    elf = parse(program.read_bytes())
    return elf is not None and elf.interpreter is None and not elf.needed
