"""From a host with packages and a Python environment to a running node, step by step.

Every step can be repeated: it looks first, changes only what differs, and records what it changed.
A sentence is said for each; `removing` takes all of it back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pykubelet.bootstrap.images import layouts, recipes
from pykubelet.bootstrap.images.store import Store
from pykubelet.bootstrap.install import checks, containerd, paths
from pykubelet.bootstrap.install.commands import output
from pykubelet.bootstrap.install.managers import Manager, manager
from pykubelet.bootstrap.install.record import Placed, Record
from pykubelet.errors import Invalid, TimedOut
from pykubelet.network.install import render_config, render_executable

Say = Callable[[str], None]
EXAMPLE = "hello.yaml"
POD_SUBNET = "10.244.0.0/24"
CLUSTER_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/12"


def install(source: Path, packages: list[str], say: Say, warn: Say, *, example: bool) -> None:
    """`source`: the checkout. `packages`: those that were installed for us just now. Raises a
    PykubeletError whose sentence says what is wrong and what to do."""
    keeper = manager()
    check_host(keeper, warn)
    record = Record.load()
    record.packages = sorted({*record.packages, *packages})
    record.save()

    runtime = Runtime(record, say, warn)
    changed = runtime.configure()
    place_network(record, runtime, source, say, warn)
    place_configuration(record, runtime, say)
    if record.link(paths.COMMANDS / "pykubelet", paths.PROGRAM) is Placed.FOREIGN:
        warn(f"{paths.COMMANDS}/pykubelet is somebody else's; ours is {paths.PROGRAM}")

    record.claim(*paths.FILLED_BY_DAEMONS)
    keeper.start_runtime(changed=changed)
    say(f"containerd runs, under {keeper.name}")
    place_images(record, runtime, say)
    keeper.start_agent(record, source)
    wait_for_health()
    say(f"the node agent runs, under {keeper.name}")
    if example:
        show_example(record, source, say)
    for hint in keeper.hints:
        say(f"to look after it: {hint}")


def check_host(keeper: Manager, warn: Say) -> None:
    facts = checks.look(keeper.pids())
    findings = checks.judge(facts)
    for finding in findings:
        if not finding.fatal:
            warn(f"{finding.sentence}; to mend it: {finding.remedy}")
    for finding in findings:
        if finding.fatal:
            raise Invalid(finding.sentence, remedy=finding.remedy)


class Runtime:
    """containerd as it is, or is going to be, configured on this host."""

    def __init__(self, record: Record, say: Say, warn: Say) -> None:
        self._record = record
        self._say = say
        self._warn = warn
        self.version = containerd.version(output("containerd", "--version"))
        self.settings: containerd.Effective

    def configure(self) -> bool:
        """Whether a running containerd has to be restarted for it."""
        path = paths.CONTAINERD_CONFIG
        facts = checks.look()
        wishes = containerd.Wishes(
            version=self.version,
            sandbox_image=recipes.PAUSE,
            systemd_cgroup=facts.systemd and facts.cgroup == "v2",
            restrict_oom_score_adj=not facts.can_lower_oom_score,
            cni_bin=str(paths.CNI_BIN),
            cni_conf=str(paths.CNI_CONF),
        )
        placed = self._record.place(path, containerd.render(wishes), replace=is_as_packaged(path))
        self.settings = containerd.effective(output("containerd", "config", "dump"))
        if placed in (Placed.EDITED, Placed.FOREIGN):
            self._fit_in(placed)
        else:
            self._say(f"containerd {'.'.join(map(str, self.version))} is configured in {path}")
        return placed is Placed.WRITTEN

    def _fit_in(self, placed: Placed) -> None:
        path = paths.CONTAINERD_CONFIG
        if not self.settings.cri:
            raise Invalid(
                f"{path} switches containerd's CRI plugin off, and {placed.value}",
                remedy="take `cri` out of disabled_plugins there, or move the file away",
            )
        self._warn(f"{path} {placed.value}; the node fits in with it")


def is_as_packaged(path: Path) -> bool:
    """Whether a configuration file is just as its Debian package brought it."""
    owner = output("dpkg-query", "--search", str(path), check=False).partition(":")[0]
    if not owner or not path.exists():
        return False
    known = output("dpkg-query", "--show", "--showformat=${Conffiles}", owner, check=False)
    checksum = output("md5sum", str(path)).split()[0]
    return f"{path} {checksum}" in known


def place_network(record: Record, runtime: Runtime, source: Path, say: Say, warn: Say) -> None:
    bins, conf = Path(runtime.settings.cni_bin), Path(runtime.settings.cni_conf)
    executable = render_executable(
        (source / "cni/pykubelet").read_text(),
        interpreter=str(Path(sys.executable).resolve()),
        socket=str(paths.RUN / "cni.sock"),
        python=sys.executable,
    )
    record.place(bins / "pykubelet", executable, 0o755)
    # Another package's loopback does as well, and stays.
    record.place(bins / "loopback", (source / "cni/loopback").read_bytes(), 0o755)
    config = render_config(
        (source / "cni/10-pykubelet.conflist").read_text(),
        subnets=[POD_SUBNET],
        cluster_cidrs=[CLUSTER_CIDR],
        service_cidrs=[SERVICE_CIDR],
        version="1.1.0" if runtime.version >= (2, 0) else "1.0.0",
        state_dir=str(paths.KUBELET_ROOT / "cni"),
    )
    file = conf / "10-pykubelet.conflist"
    record.place(file, config)
    # The runtime takes the first by name.
    first = min(p.name for p in conf.iterdir() if p.suffix in (".conf", ".conflist", ".json"))
    if first != file.name:
        warn(f"{conf / first} comes before {file.name}: pods get its network")
    say(f"the CNI plugin is in {bins}, its configuration in {conf}")


def place_configuration(record: Record, runtime: Runtime, say: Say) -> None:
    driver = "systemd" if runtime.settings.systemd_cgroup else "cgroupfs"
    text = f"""\
# The node agent's settings: upstream's KubeletConfiguration.
# Drop-ins: {paths.KUBELET_DROPINS}/*.conf
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: {paths.MANIFESTS}
containerRuntimeEndpoint: unix://{paths.CONTAINERD_SOCKET}
# As the runtime has it (SystemdCgroup in its configuration).
cgroupDriver: {driver}
failSwapOn: false
"""
    for folder in (paths.KUBELET_DROPINS, paths.MANIFESTS):
        record.folder(folder)
    placed = record.place(paths.KUBELET_CONFIG, text)
    say(f"the agent's settings are in {paths.KUBELET_CONFIG} ({placed.value})")


def place_images(record: Record, runtime: Runtime, say: Say) -> None:
    """The node's own images into the store, those that it hasn't got."""
    store = Store(paths.CONTAINERD_SOCKET)
    present = {image.name for image in store.list()}
    if record.images is None:
        record.images = sorted(present)
        record.save()
    for image in (recipes.pause(), recipes.hello()):
        if image.name not in present:
            archive = paths.STATE / "image.tar"
            try:
                layouts.write(image, archive, compress=False)
                store.load(archive)
            finally:
                archive.unlink(missing_ok=True)
            say(f"{image.name} is made from this host's own programs and imported, pinned")
    wanted = runtime.settings.sandbox_image
    if wanted not in ("", recipes.PAUSE) and wanted not in present:
        store.tag(recipes.PAUSE, wanted)
        say(f"containerd's settings want {wanted} for sandboxes: a second name of our pause image")


# -- seeing it run ---------------------------------------------------------------------------------


def wait_for_health(timeout: float = 90.0) -> None:
    deadline = time.monotonic() + timeout
    why = ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen("http://127.0.0.1:10248/healthz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError as error:
            why = str(error)
        time.sleep(0.2)
    raise TimedOut(f"the agent isn't healthy after {timeout:.0f} s: {why}")


def show_example(record: Record, source: Path, say: Say) -> None:
    """Drop the example into the manifest folder, the first time only: whoever deletes it later
    doesn't want it back. Then show it running."""
    target = paths.MANIFESTS / EXAMPLE
    if not record.example_offered:
        record.example_offered = True
        record.place(target, (source / "examples" / EXAMPLE).read_bytes())
    if not target.exists():
        return
    say(f"an example pod: {target}")
    pod = wait_for_pod("hello")
    say(f"it is {pod['phase']}; this is `pykubelet status`:")
    subprocess.run([paths.PROGRAM, "status"], stdin=subprocess.DEVNULL, check=False)


def wait_for_pod(name: str, timeout: float = 120.0) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        shown = output(str(paths.PROGRAM), "status", "-o", "json", check=False)
        pods = json.loads(shown)["pods"] if shown.startswith("{") else []
        for pod in pods:
            if pod["name"].startswith(f"{name}-") and pod["phase"] == "Running":
                return dict(pod)
        time.sleep(0.2)
    why = output(str(paths.PROGRAM), "why", str(paths.MANIFESTS / EXAMPLE), check=False)
    raise TimedOut(f"the example pod isn't running after {timeout:.0f} s:\n{why}")
