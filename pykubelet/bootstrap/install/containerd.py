"""containerd's configuration: what a node needs of it, and whose file it is. Pure.

A configuration that its owner has written is never touched: then `Effective` reads from it what
the node has to fit in with. Where there is none, or the distribution's as it came, ours takes its
place, and the old one comes back at uninstall.

Source: containerd's docs/cri/config.md, for configuration versions 2 (1.x) and 3 (2.x).
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from pykubelet.errors import Invalid

_CRI_1 = "io.containerd.grpc.v1.cri"
_IMAGES = "io.containerd.cri.v1.images"
_RUNTIME = "io.containerd.cri.v1.runtime"
_HEAD = """\
# Written by pykubelet's installation. Changes made here are kept by later installations; so are
# files in the folder that `imports` names. Uninstalling puts back what was here before.
"""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the host asks for. `version` is containerd's (major, minor)."""

    version: tuple[int, int]
    sandbox_image: str
    systemd_cgroup: bool
    # A host without CAP_SYS_RESOURCE can't lower oom_score_adj, and no sandbox would start.
    restrict_oom_score_adj: bool
    cni_bin: str = "/opt/cni/bin"
    cni_conf: str = "/etc/cni/net.d"


def render(wishes: Wishes) -> str:
    return _HEAD + (_render_3(wishes) if wishes.version >= (2, 0) else _render_2(wishes))


def _render_2(wishes: Wishes) -> str:
    # `opt` is where Debian has it; containerd's own default would make a folder in /opt.
    return f"""\
version = 2
imports = ["/etc/containerd/conf.d/*.toml"]

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."{_CRI_1}"]
  sandbox_image = "{wishes.sandbox_image}"
  restrict_oom_score_adj = {_bool(wishes.restrict_oom_score_adj)}

  [plugins."{_CRI_1}".cni]
    bin_dir = "{wishes.cni_bin}"
    conf_dir = "{wishes.cni_conf}"

  [plugins."{_CRI_1}".registry]
    config_path = "/etc/containerd/certs.d"

  [plugins."{_CRI_1}".containerd]
    default_runtime_name = "runc"

    [plugins."{_CRI_1}".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."{_CRI_1}".containerd.runtimes.runc.options]
        SystemdCgroup = {_bool(wishes.systemd_cgroup)}
"""


def _render_3(wishes: Wishes) -> str:
    many = wishes.version >= (2, 1)
    folders = f'bin_dirs = ["{wishes.cni_bin}"]' if many else f'bin_dir = "{wishes.cni_bin}"'
    return f"""\
version = 3
imports = ["/etc/containerd/conf.d/*.toml"]

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."{_IMAGES}".pinned_images]
  sandbox = "{wishes.sandbox_image}"

[plugins."{_IMAGES}".registry]
  config_path = "/etc/containerd/certs.d"

[plugins."{_RUNTIME}"]
  restrict_oom_score_adj = {_bool(wishes.restrict_oom_score_adj)}

  [plugins."{_RUNTIME}".cni]
    {folders}
    conf_dir = "{wishes.cni_conf}"

  [plugins."{_RUNTIME}".containerd]
    default_runtime_name = "runc"

    [plugins."{_RUNTIME}".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."{_RUNTIME}".containerd.runtimes.runc.options]
        SystemdCgroup = {_bool(wishes.systemd_cgroup)}
"""


def _bool(value: bool) -> str:
    return "true" if value else "false"


def version(text: str) -> tuple[int, int]:
    """(major, minor) out of `containerd --version`. Distributions write it with and without v,
    and with what they like behind it. Raises Invalid."""
    found = re.search(r"\bv?(\d+)\.(\d+)\.\d", text)
    if not found:
        raise Invalid("containerd doesn't tell its version", found=repr(text.strip()))
    return int(found[1]), int(found[2])


# -- somebody else's configuration -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effective:
    """What is in force, whoever wrote it."""

    cri: bool
    cni_bin: str
    cni_conf: str
    sandbox_image: str
    systemd_cgroup: bool


def effective(dump: str) -> Effective:
    """Out of `containerd config dump`, which has merged files and defaults. Raises Invalid."""
    try:
        tree = tomllib.loads(dump)
    except tomllib.TOMLDecodeError as error:
        raise Invalid("containerd's configuration can't be read", found=str(error)) from error
    disabled = {name.rpartition(".")[2] for name in tree.get("disabled_plugins") or ()}
    plugins = tree.get("plugins") or {}
    old, images, runtime = (plugins.get(name) or {} for name in (_CRI_1, _IMAGES, _RUNTIME))
    settings = runtime or old
    cni = settings.get("cni") or {}
    bins = [*(cni.get("bin_dirs") or ()), cni.get("bin_dir") or ""]
    sandbox = (images.get("pinned_images") or {}).get("sandbox") or old.get("sandbox_image") or ""
    return Effective(
        cri=bool(settings) and not disabled & {"cri", "images", "runtime"},
        cni_bin=next(filter(None, bins), "/opt/cni/bin"),
        cni_conf=cni.get("conf_dir") or "/etc/cni/net.d",
        sandbox_image=sandbox,
        systemd_cgroup=_systemd_cgroup(settings.get("containerd") or {}),
    )


def _systemd_cgroup(containerd: dict[str, Any]) -> bool:
    runtimes = containerd.get("runtimes") or {}
    default = runtimes.get(containerd.get("default_runtime_name") or "runc") or {}
    return bool((default.get("options") or {}).get("SystemdCgroup"))
