"""Two API servers on one etcd: what one writes the other shows, and neither overwrites it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from tests.component.apiserver.conftest import Api, ServerUnderTest

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, etcd: str
) -> Iterator[tuple[ServerUnderTest, ServerUnderTest]]:
    servers = [
        ServerUnderTest(tmp_path_factory.mktemp(name), "--etcd-servers", etcd)
        for name in ("one", "two")
    ]
    for server in servers:
        server.start()
    yield servers[0], servers[1]
    for server in servers:
        server.stop()


def test_what_one_writes_the_other_shows_at_once(
    pair: tuple[ServerUnderTest, ServerUnderTest],
) -> None:
    one, two = map(Api, pair)
    for n in range(20):
        writer, reader = (one, two) if n % 2 else (two, one)
        code, made = writer("POST", MAPS, {"metadata": {"name": f"a{n}"}})
        assert code == 201
        assert reader("GET", f"{MAPS}/a{n}") == (200, made)
        assert len(reader("GET", f"{MAPS}?fieldSelector=metadata.name%3Da{n}")[1]["items"]) == 1


def test_a_watch_on_one_sees_the_writes_of_both(
    pair: tuple[ServerUnderTest, ServerUnderTest],
) -> None:
    one, two = map(Api, pair)
    version = one("GET", MAPS)[1]["metadata"]["resourceVersion"]
    events = one.watch(MAPS, resourceVersion=version, timeoutSeconds=20)
    for n in range(10):
        (one if n % 2 else two)("POST", MAPS, {"metadata": {"name": f"b{n}"}})
    seen = [e["object"]["metadata"]["name"] for e in itertools.islice(events, 10)]
    assert seen == [f"b{n}" for n in range(10)]


def test_counting_on_both_counts_right(pair: tuple[ServerUnderTest, ServerUnderTest]) -> None:
    Api(pair[0])("POST", MAPS, {"metadata": {"name": "n"}, "data": {"n": "0"}})

    def count(server: ServerUnderTest) -> None:
        api = Api(server)
        for _ in range(15):
            while True:
                _, found = api("GET", f"{MAPS}/n")
                found["data"]["n"] = str(int(found["data"]["n"]) + 1)
                if api("PUT", f"{MAPS}/n", found)[0] == 200:
                    break

    counters = [threading.Thread(target=count, args=(server,)) for server in pair * 2]
    for counter in counters:
        counter.start()
    for counter in counters:
        counter.join(60)
    assert Api(pair[0])("GET", f"{MAPS}/n")[1]["data"]["n"] == "60"


def test_pages_continue_at_the_other_server(pair: tuple[ServerUnderTest, ServerUnderTest]) -> None:
    one, two = map(Api, pair)
    for n in range(7):
        one("POST", MAPS, {"metadata": {"name": f"p{n}", "labels": {"page": "1"}}})
    _, first = one("GET", f"{MAPS}?labelSelector=page&limit=3")
    token = first["metadata"]["continue"]
    one("DELETE", f"{MAPS}/p5")
    _, rest = two("GET", f"{MAPS}?labelSelector=page&limit=10&continue={token}")
    names = [i["metadata"]["name"] for i in (*first["items"], *rest["items"])]
    assert names == [f"p{n}" for n in range(7)]
