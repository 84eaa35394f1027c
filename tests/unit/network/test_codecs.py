"""The message classes load without the rest of pyroute2, and the rest stays usable."""

from __future__ import annotations

import ipaddress
import subprocess
import sys

from pykubelet.network import messages


def python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_message_classes_bring_neither_asyncio_nor_the_other_protocols() -> None:
    loaded = python("import sys, pykubelet.network.links; print(*sys.modules)").split()
    assert "pyroute2.netlink.rtnl.ifinfmsg" in loaded
    assert not {"asyncio", "pyroute2.iproute", "pyroute2.ndb", "subprocess"} & set(loaded)


def test_the_whole_of_pyroute2_is_there_for_whoever_asks_later() -> None:
    script = (
        "import pykubelet.network.codecs as ours\n"
        "from pyroute2 import IPRoute, NetlinkError\n"
        "import pyroute2.netlink.rtnl.ifinfmsg as theirs\n"
        "import pyroute2\n"
        "assert theirs.ifinfmsg is ours.ifinfmsg\n"
        "assert pyroute2.IPRoute is IPRoute\n"
        "print(pyroute2.__version__)\n"
    )
    assert python(script)


def test_it_makes_no_difference_when_pyroute2_was_there_before() -> None:
    script = "import pyroute2, pykubelet.network.codecs as c; print(c.rtmsg.__name__)"
    assert python(script) == "rtmsg"


def test_a_request_is_the_bytes_that_rtnetlink_wants() -> None:
    request = messages.add_address(7, ipaddress.ip_interface("10.0.0.2/24"))
    data = request.encode(5)
    assert int.from_bytes(data[:4], sys.byteorder) == len(data)
    assert int.from_bytes(data[4:6], sys.byteorder) == 20  # RTM_NEWADDR
    assert data[8] == 5
    assert data[16:18] == bytes([2, 24])
    assert bytes([10, 0, 0, 2]) in data


def test_ipv6_addresses_skip_duplicate_detection() -> None:
    request = messages.add_address(7, ipaddress.ip_interface("fd00::2/64"))
    assert request.fields["flags"] & messages.IFA_F_NODAD
