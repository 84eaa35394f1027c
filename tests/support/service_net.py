"""A node, pods, a second node's pods and a client outside, as network namespaces without a runtime.

  client 192.168.50.2 ── node 192.168.50.1, 10.244.0.1 (bridge) ── pods 10.244.0.N
                              192.168.60.1 ── far 192.168.60.2, pods 10.244.1.N as its addresses

IPv6 likewise under fd00:50::/64, fd00:60::/64, fd00:244:0::/64 and fd00:244:1::/64. Sockets are
made inside the namespaces by this very process, so a server costs a file descriptor, and a client
no process. Every server answers over TCP and UDP with its name and the address that it saw.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import selectors
import socket
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

#: A node forwards; and it says no as often as it is asked, for that is what tests look at.
_SETTINGS = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/icmp_ratelimit": "0",
    "ipv6/icmp/ratelimit": "0",
    "ipv4/icmp_msgs_per_sec": "1000000",
    "ipv4/icmp_msgs_burst": "1000000",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
}

REFUSED, SILENT = "refused", "silent"


@dataclass(frozen=True)
class Answer:
    """`by`: the server's name, or REFUSED or SILENT, or another error's text; `saw`: the source
    address that the server saw."""

    by: str
    saw: str = ""


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and what it starts, in the namespace."""
    with open("/proc/thread-self/ns/net") as before:
        with open(f"/run/netns/{namespace}") as there:
            _enter(there.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def run(*command: str, text: str = "", check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, input=text, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class ServiceNet:
    """`with ServiceNet() as net`: `net.node`, `net.far`, `net.client` are names of namespaces."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="pks-"))
        self._id = self._home.name.replace("_", "x").lower()
        self.node, self.far, self.client = (self._id + end for end in ("n", "f", "c"))
        self._made: list[str] = []
        self._numbers = itertools.count(2)
        self._servers = selectors.DefaultSelector()
        self._wake, self._awake = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> ServiceNet:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        self._servers.register(self._awake, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.close()
        if self._thread.is_alive():
            self._thread.join(5)
        for known in list(self._servers.get_map().values()):
            known.fileobj.close()  # type: ignore[union-attr]
        self._servers.close()
        for name in self._made:
            run("ip", "netns", "del", name, check=False)
        self._home.rmdir()

    # -- the network ----------------------------------------------------------------------------

    def _build(self) -> None:
        for name in (self.node, self.far, self.client):
            self._namespace(name)
        with inside(self.node):
            for name, value in _SETTINGS.items():
                setting = Path(f"/proc/sys/net/{name}")
                if setting.exists():  # up to Linux 6.11 some are the whole host's
                    setting.write_text(value)
        self.on(self.node, "ip link add br0 type bridge", "ip link set br0 up")
        self._address(self.node, "br0", "10.244.0.1/24", "fd00:244:0::1/64")
        # A service address must have a route before it is translated.
        for peer, number in ((self.client, 50), (self.far, 60)):
            self.on(self.node, f"ip link add to{number} type veth peer name eth0 netns {peer}")
            self.on(self.node, f"ip link set to{number} up")
            self._address(
                self.node, f"to{number}", f"192.168.{number}.1/24", f"fd00:{number}::1/64"
            )
            self.on(peer, "ip link set eth0 up")
            self._address(peer, "eth0", f"192.168.{number}.2/24", f"fd00:{number}::2/64")
            self.on(peer, f"ip route add default via 192.168.{number}.1")
            self.on(peer, f"ip -6 route add default via fd00:{number}::1")
        self.on(
            self.node,
            "ip route add 10.244.1.0/24 via 192.168.60.2",
            "ip -6 route add fd00:244:1::/64 via fd00:60::2",
            "ip route add default via 192.168.50.2",
            "ip -6 route add default via fd00:50::2",
        )

    def _namespace(self, name: str) -> None:
        run("ip", "netns", "add", name)
        self._made.append(name)
        self.on(name, "ip link set lo up")

    def _address(self, namespace: str, link: str, *addresses: str) -> None:
        for address in addresses:
            # Else it can't be used for a second, while others are asked whether it is free.
            now = " nodad" if ":" in address else ""
            self.on(namespace, f"ip address add {address} dev {link}{now}")

    def on(self, namespace: str, *commands: str) -> None:
        for command in commands:
            with inside(namespace):
                run(*command.split())

    def pod(self, *ports: int, far: bool = False) -> Pod:
        """Serves on these ports; `far` on the other node."""
        number = next(self._numbers)
        side = 1 if far else 0
        pod = Pod(
            f"pod{number}",
            self.far if far else f"{self._id}p{number}",
            f"10.244.{side}.{number}",
            str(ip_address(f"fd00:244:{side}::{number:x}")),
            far,
        )
        if far:
            self._address(self.far, "lo", f"{pod.ip}/32", f"{pod.ip6}/128")
        else:
            self._namespace(pod.namespace)
            link = f"v{number}"
            self.on(self.node, f"ip link add {link} type veth peer name eth0 netns {pod.namespace}")
            # Hairpin: a pod's packet to itself comes back by the port that it left by.
            self.on(
                self.node,
                f"ip link set {link} master br0 up",
                f"ip link set {link} type bridge_slave hairpin on",
            )
            self.on(pod.namespace, "ip link set eth0 up")
            self._address(pod.namespace, "eth0", f"{pod.ip}/24", f"{pod.ip6}/64")
            self.on(
                pod.namespace,
                "ip route add default via 10.244.0.1",
                "ip -6 route add default via fd00:244:0::1",
            )
        for port in ports:
            self.serve(pod.namespace, pod.name, port, pod.ip, pod.ip6)
        return pod

    # -- servers and clients --------------------------------------------------------------------

    def serve(self, namespace: str, name: str, port: int, *addresses: str) -> None:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with inside(namespace):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    server = socket.socket(family, kind)
                    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    server.bind((address, port))
                    if kind == socket.SOCK_STREAM:
                        server.listen(256)
                    server.setblocking(False)
                    self._servers.register(server, selectors.EVENT_READ, name)
        self._wake.send(b".")

    def _serve(self) -> None:
        while True:
            for known, _ in self._servers.select():
                found = known.fileobj
                assert isinstance(found, socket.socket)
                if found is self._awake:
                    if not found.recv(64):
                        return
                    continue
                with contextlib.suppress(OSError):
                    if found.type == socket.SOCK_STREAM:
                        connection, peer = found.accept()
                        connection.sendall(f"{known.data} {peer[0]}".encode())
                        connection.close()
                    else:
                        _, peer = found.recvfrom(64)
                        found.sendto(f"{known.data} {peer[0]}".encode(), peer)

    def ask(
        self,
        namespace: str,
        address: str,
        port: int,
        *,
        udp: bool = False,
        source: str = "",
        timeout: float = 0.4,
    ) -> Answer:
        """One connection, or one datagram from a new port, from a namespace."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        with inside(namespace):
            client = socket.socket(family, kind)
        with client:
            client.settimeout(timeout)
            try:
                if source:
                    client.bind((source, 0))
                client.connect((address, port))
                if udp:
                    client.send(b"?")
                name, _, saw = client.recv(256).decode().partition(" ")
            except TimeoutError:
                return Answer(SILENT)
            except ConnectionRefusedError:
                return Answer(REFUSED)
            except OSError as error:
                return Answer(error.strerror)
        return Answer(name, saw)

    def spread(
        self, times: int, namespace: str, address: str, port: int, **how: bool
    ) -> Counter[str]:
        """Who answered how often."""
        return Counter(self.ask(namespace, address, port, **how).by for _ in range(times))


@dataclass(frozen=True)
class Pod:
    name: str
    namespace: str
    ip: str
    ip6: str
    far: bool

    def endpoint(self, **more: object) -> dict[str, object]:
        """As an EndpointSlice has it (IPv4)."""
        return {"addresses": [self.ip], "nodeName": "far" if self.far else "node", **more}

    def endpoint6(self, **more: object) -> dict[str, object]:
        return {"addresses": [self.ip6], "nodeName": "far" if self.far else "node", **more}
