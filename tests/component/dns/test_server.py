"""The server over real sockets on loopback, with a resolver behind it that the test plays."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord

from pykubelet.dns.forward import Forwarder
from pykubelet.dns.server import DnsServer, Resolver
from pykubelet.dns.zone import Zone

T = TypeVar("T")


class Upstream(asyncio.DatagramProtocol):
    """Knows every name as 192.0.2.7, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.silent = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = DNSRecord.parse(data)
        self.asked.append(str(query.q.qname))
        if self.silent:
            return
        reply = query.reply()
        reply.add_answer(RR(query.q.qname, QTYPE.A, ttl=60, rdata=A("192.0.2.7")))
        self.transport.sendto(reply.pack(), addr)


@asynccontextmanager
async def served(zone: Zone) -> AsyncIterator[tuple[DnsServer, Upstream]]:
    loop = asyncio.get_running_loop()
    transport, upstream = await loop.create_datagram_endpoint(Upstream, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    server = DnsServer(Resolver(zone, Forwarder([f"127.0.0.1#{port}"])))
    await server.start("127.0.0.1", 0)
    try:
        yield server, upstream
    finally:
        await server.stop()
        transport.close()


async def udp(port: int, data: bytes, timeout: float = 5.0) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        await loop.sock_sendall(sock, data)
        return await asyncio.wait_for(loop.sock_recv(sock, 65535), timeout)


async def tcp(port: int, *queries: bytes) -> list[DNSRecord]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for query in queries:
        writer.write(len(query).to_bytes(2) + query)
        size = int.from_bytes(await reader.readexactly(2))
        answers.append(DNSRecord.parse(await reader.readexactly(size)))
    writer.close()
    return answers


def question(name: str, kind: str = "A") -> bytes:
    return bytes(DNSRecord.question(name, kind).pack())


def zone_with(count: int = 1) -> Zone:
    zone = Zone()
    zone.put_service(
        {"metadata": {"namespace": "default", "name": "many"}, "spec": {"clusterIP": "None"}}
    )
    zone.put_slice(
        {
            "metadata": {
                "namespace": "default",
                "name": "many-1",
                "labels": {"kubernetes.io/service-name": "many"},
            },
            "endpoints": [{"addresses": [f"10.0.{n // 250}.{n % 250 + 1}"]} for n in range(count)],
        }
    )
    return zone


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


MANY = "many.default.svc.cluster.local"


def test_a_name_of_ours_is_answered_with_authority_and_the_clients_spelling() -> None:
    async def story() -> None:
        async with served(zone_with()) as (server, upstream):
            reply = DNSRecord.parse(
                await udp(server.port, question("MaNy.Default.svc.CLUSTER.local"))
            )
            assert str(reply.rr[0].rdata) == "10.0.0.1"
            assert str(reply.q.qname) == "MaNy.Default.svc.CLUSTER.local."
            assert reply.header.aa == 1
            assert upstream.asked == []

    run(story())


def test_other_names_are_forwarded_and_then_remembered() -> None:
    async def story() -> None:
        async with served(zone_with()) as (server, upstream):
            for _ in range(3):
                reply = DNSRecord.parse(await udp(server.port, question("www.example.org")))
                assert str(reply.rr[0].rdata) == "192.0.2.7"
            assert upstream.asked == ["www.example.org."]

    run(story())


def test_an_external_name_comes_with_the_address_of_its_target() -> None:
    async def story() -> None:
        zone = zone_with()
        spec = {"type": "ExternalName", "externalName": "www.example.org"}
        zone.put_service({"metadata": {"namespace": "default", "name": "out"}, "spec": spec})
        async with served(zone) as (server, _):
            reply = DNSRecord.parse(
                await udp(server.port, question("out.default.svc.cluster.local"))
            )
            assert [QTYPE[r.rtype] for r in reply.rr] == ["CNAME", "A"]

    run(story())


def test_a_change_of_the_zone_is_seen_at_once() -> None:
    async def story() -> None:
        zone = zone_with()
        async with served(zone) as (server, _):
            assert DNSRecord.parse(await udp(server.port, question(MANY))).rr
            zone.drop_service("default", "many")
            reply = DNSRecord.parse(await udp(server.port, question(MANY)))
            assert reply.header.rcode == RCODE.NXDOMAIN

    run(story())


def test_an_answer_too_long_for_udp_is_cut_and_whole_over_tcp() -> None:
    async def story() -> None:
        async with served(zone_with(200)) as (server, _):
            cut = DNSRecord.parse(await udp(server.port, question(MANY)))
            assert cut.header.tc == 1
            assert not cut.rr
            (whole,) = await tcp(server.port, question(MANY))
            assert len(whole.rr) == 200

    run(story())


def test_several_questions_may_follow_each_other_on_one_connection() -> None:
    async def story() -> None:
        async with served(zone_with()) as (server, _):
            replies = await tcp(server.port, question(MANY), question("www.example.org"))
            assert [str(r.rr[0].rdata) for r in replies] == ["10.0.0.1", "192.0.2.7"]

    run(story())


def test_a_resolver_that_is_silent_ends_in_servfail_and_holds_up_nobody() -> None:
    async def story() -> None:
        async with served(zone_with()) as (server, upstream):
            upstream.silent = True
            slow = asyncio.ensure_future(udp(server.port, question("slow.example.org")))
            assert DNSRecord.parse(await udp(server.port, question(MANY))).rr
            assert DNSRecord.parse(await slow).header.rcode == RCODE.SERVFAIL

    run(story())


def test_malformed_packets_do_no_harm() -> None:
    async def story() -> None:
        random.seed(7)
        good = question(MANY)
        async with served(zone_with()) as (server, _):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for _ in range(3000):
                    data = bytearray(good)
                    for _ in range(random.randint(1, 8)):
                        data[random.randrange(len(data))] = random.randrange(256)
                    sent = random.choice([bytes(data), bytes(data[: random.randrange(40)]),
                                          os.urandom(random.randrange(600))])  # fmt: skip
                    sock.sendto(sent, ("127.0.0.1", server.port))
                    await asyncio.sleep(0)
            assert DNSRecord.parse(await udp(server.port, good)).rr

    run(story())


def test_a_question_for_another_type_of_a_name_of_ours_is_empty_not_wrong() -> None:
    async def story() -> None:
        async with served(zone_with()) as (server, _):
            reply = DNSRecord.parse(await udp(server.port, question(MANY, "AAAA")))
            assert not [r for r in reply.rr if isinstance(r.rdata, AAAA)]
            assert reply.header.rcode == RCODE.NOERROR

    run(story())
