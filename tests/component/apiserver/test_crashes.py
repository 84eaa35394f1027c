"""What was acknowledged survives kill -9, and watchers go on where they were."""

from __future__ import annotations

import threading
from pathlib import Path

import requests

from tests.component.apiserver.conftest import Api, ServerUnderTest

MAPS = "/api/v1/namespaces/default/configmaps"


def test_acknowledged_writes_survive_kills_and_versions_go_on(tmp_path: Path) -> None:
    server = ServerUnderTest(tmp_path)
    server.start()
    acknowledged: dict[str, str] = {}
    last = 0
    try:
        for round_number in range(3):
            api = Api(server)

            def write(who: int, number: int = round_number, api: Api = api) -> None:
                for n in range(1000):
                    name = f"r{number}-w{who}-{n}"
                    try:
                        code, made = api("POST", MAPS, {"metadata": {"name": name}})
                    except requests.RequestException:
                        return
                    assert code == 201
                    acknowledged[name] = made["metadata"]["resourceVersion"]
                    if len(acknowledged) >= 100 * (number + 1):
                        server.kill()
                        return

            writers = [threading.Thread(target=write, args=(who,)) for who in range(4)]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join(60)
            server.start()
            _, found = Api(server)("GET", MAPS)
            stored = {
                i["metadata"]["name"]: i["metadata"]["resourceVersion"] for i in found["items"]
            }
            assert acknowledged.items() <= stored.items()
            version = int(found["metadata"]["resourceVersion"])
            assert version >= max(map(int, stored.values()))
            assert version > last
            last = version
    finally:
        server.stop()
