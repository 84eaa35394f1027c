"""Puts the CNI executable and its configuration in place, and takes them away.

The executable `cni/pykubelet` is text with three values to fill in: the interpreter line, the
agent's socket, and the Python that runs the whole plugin when no agent answers. The interpreter is
resolved to its real path: a virtual environment's link, and even more a version manager's, costs
time at each start, and the executable needs nothing but the bare interpreter.

`python -m pykubelet.network.install --help` tells the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from pykubelet.errors import Invalid
from pykubelet.network.plugin import DEFAULT_SOCKET, DEFAULT_STATE

SOURCE = Path(__file__).resolve().parents[2] / "cni"
BIN_DIR = "/opt/cni/bin"
CONF_DIR = "/etc/cni/net.d"
CONF_NAME = "10-pykubelet.conflist"


def render_executable(text: str, *, interpreter: str, socket: str, python: str) -> str:
    """`interpreter` runs the executable, `python` the plugin in one process."""
    if len(interpreter) > 100 or any(c.isspace() for c in interpreter):
        raise Invalid("can't stand in an interpreter line", where="interpreter", found=interpreter)
    _, _, body = text.partition("\n")
    body = re.sub(r'^SOCKET = ".*"$', lambda _: f"SOCKET = {_quoted(socket)}", body, flags=re.M)
    body = re.sub(r'^PYTHON = ".*"$', lambda _: f"PYTHON = {_quoted(python)}", body, flags=re.M)
    return f"#!{interpreter} -IS\n{body}"


def _quoted(text: str) -> str:
    return json.dumps(text)


def render_config(
    text: str,
    *,
    subnets: Sequence[str],
    cluster_cidrs: Sequence[str] = (),
    service_cidrs: Sequence[str] = (),
    version: str = "",
    socket: str = DEFAULT_SOCKET,
    state_dir: str = DEFAULT_STATE,
    bridge: str = "",
    mtu: int = 0,
) -> str:
    """The configuration with its values filled in: one range set per subnet, so that an IPv4 and
    an IPv6 subnet make every pod dual-stack. Raises Invalid for what is no subnet."""
    config = json.loads(text)
    plugin = config["plugins"][0]
    try:
        ranges = [[{"subnet": str(ip_network(s))}] for s in subnets]
    except ValueError as error:
        raise Invalid(str(error), where="subnet") from None
    plugin["ipam"]["ranges"] = ranges
    plugin["clusterCIDRs"] = list(cluster_cidrs)
    plugin["serviceCIDRs"] = list(service_cidrs)
    if version:
        config["cniVersion"] = version
    if socket != DEFAULT_SOCKET:
        plugin["socket"] = socket
    if state_dir != DEFAULT_STATE:
        plugin["stateDir"] = state_dir
    if bridge:
        plugin["bridge"] = bridge
    if mtu:
        plugin["mtu"] = mtu
    return json.dumps(config, indent=2) + "\n"


def install_executables(
    bin_dir: str | Path,
    *,
    source: str | Path = SOURCE,
    interpreter: str = "",
    socket: str = DEFAULT_SOCKET,
    python: str = "",
) -> None:
    """`pykubelet`, and `loopback` unless another package's is there. Replaced by renaming, so that
    a runtime which starts one at this moment gets the old or the new, never half of it."""
    folder = Path(bin_dir)
    folder.mkdir(parents=True, exist_ok=True)
    text = render_executable(
        (Path(source) / "pykubelet").read_text(),
        interpreter=interpreter or os.path.realpath(sys.executable),
        socket=socket,
        python=python or sys.executable,
    )
    _put(folder / "pykubelet", text)
    loopback = folder / "loopback"
    if not os.path.lexists(loopback) or _is_ours(loopback):
        _put(loopback, (Path(source) / "loopback").read_text())


def _put(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.chmod(0o755)
    part.rename(path)


def _is_ours(path: Path) -> bool:
    try:
        return b"pykubelet" in path.read_bytes()
    except OSError:
        return False


def install_config(conf_dir: str | Path, text: str) -> Path:
    """Written whole: runtimes watch the folder."""
    folder = Path(conf_dir)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{CONF_NAME}.{os.getpid()}"
    part.write_text(text)
    part.rename(folder / CONF_NAME)
    return folder / CONF_NAME


def remove(bin_dir: str | Path = BIN_DIR, conf_dir: str | Path = CONF_DIR) -> None:
    """What the two functions above have put there, and nothing else."""
    loopback = Path(bin_dir) / "loopback"
    if _is_ours(loopback):
        loopback.unlink()
    (Path(bin_dir) / "pykubelet").unlink(missing_ok=True)
    (Path(conf_dir) / CONF_NAME).unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pykubelet.network.install",
        description="Install or remove the CNI plugin and its configuration.",
    )
    parser.add_argument("--bin-dir", default=BIN_DIR)
    parser.add_argument("--conf-dir", default=CONF_DIR)
    parser.add_argument("--source", default=str(SOURCE), help="the folder cni/ of the sources")
    parser.add_argument("--interpreter", default="", help="runs the executable (this Python's)")
    parser.add_argument("--socket", default=DEFAULT_SOCKET)
    parser.add_argument("--state-dir", default=DEFAULT_STATE)
    parser.add_argument("--subnet", action="append", default=[], help="pod range; once per family")
    parser.add_argument("--cluster-cidr", action="append", default=[])
    parser.add_argument("--service-cidr", action="append", default=[])
    parser.add_argument("--cni-version", default="")
    parser.add_argument("--mtu", type=int, default=0)
    parser.add_argument("--uninstall", action="store_true", help="and all that the plugin made")
    options = parser.parse_args()
    if options.uninstall:
        from pykubelet.network.plugin import Plugin

        Plugin(options.state_dir).operations().remove_all()
        remove(options.bin_dir, options.conf_dir)
        return
    if not options.subnet:
        parser.error("--subnet is needed")
    text = render_config(
        (Path(options.source) / CONF_NAME).read_text(),
        subnets=options.subnet,
        cluster_cidrs=options.cluster_cidr,
        service_cidrs=options.service_cidr,
        version=options.cni_version,
        socket=options.socket,
        state_dir=options.state_dir,
        mtu=options.mtu,
    )
    install_executables(
        options.bin_dir,
        source=options.source,
        interpreter=options.interpreter,
        socket=options.socket,
    )
    install_config(options.conf_dir, text)


if __name__ == "__main__":
    main()
