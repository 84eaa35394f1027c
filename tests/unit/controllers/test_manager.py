"""The manager: which controllers run, when they begin, and that each fails alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pykubelet.client.resources import CONFIG_MAPS, PODS, SECRETS
from pykubelet.controllers import serving, table
from pykubelet.controllers.base import Context, Controller
from pykubelet.controllers.figures import QueueFigures, text
from pykubelet.controllers.manager import HeldQueue, Manager, Options, chosen
from pykubelet.errors import Invalid, Unavailable
from tests.support.waiting import until
from tests.unit.controllers.cluster import Cluster, SimApi

Json = dict[str, Any]


# -- which ---------------------------------------------------------------------------------------


def test_a_star_means_all_that_are_on_by_default() -> None:
    assert chosen(["*"]) == [n for n in table.CONTROLLERS if n not in table.OFF_BY_DEFAULT]


def test_names_and_old_names_and_minus_signs() -> None:
    assert chosen(["job", "deployment-controller"]) == ["deployment-controller", "job-controller"]
    assert "cronjob-controller" not in chosen(["*", "-cronjob"])
    assert chosen(["job", "-job"]) == []


def test_a_name_that_nobody_knows_is_refused() -> None:
    with pytest.raises(Invalid, match="no such controller"):
        chosen(["*", "-jobs"])


@pytest.mark.parametrize("name", table.CONTROLLERS)
def test_every_row_of_the_table_is_a_controller_of_that_name(name: str) -> None:
    assert table.load(name).name == name


def test_old_names_lead_to_the_table() -> None:
    assert set(table.ALIASES.values()) <= set(table.CONTROLLERS)


# -- when ----------------------------------------------------------------------------------------


def test_keys_wait_until_the_queue_is_opened() -> None:
    seen: list[str] = []
    queue = HeldQueue("test", lambda key: seen.append(key))
    queue.add("a")
    queue.add("a")
    assert queue.depth() == 0
    queue.open()
    until(lambda: seen == ["a"], "the key has its turn")
    queue.stop()


class WatchingApi(SimApi):
    """Lists what there is and watches in silence. Secrets can't be had."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.missing = {SECRETS}

    def list(self, resource: Any, namespace: str = "", **options: Any) -> tuple[Any, str]:
        if resource in self.missing:
            raise Unavailable("not today")
        return super().list(resource, namespace, **options)

    def watch(self, resource: Any, namespace: str = "", **options: Any) -> Any:
        return Silence()


class Silence:
    def __init__(self) -> None:
        self._over = threading.Event()

    def __iter__(self) -> Iterator[Json]:
        self._over.wait()
        return iter(())

    def close(self) -> None:
        self._over.set()


class Good(Controller):
    name = "good"
    seen: list[str] = []  # noqa: RUF012 - the test's

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = self.watch(PODS)
        self._maps = self.read(CONFIG_MAPS)

    def turn(self, key: str) -> None:
        assert len(self._maps), "it began before its stores were filled"
        self.seen.append(key)


class Waiting(Good):
    name = "waiting"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.read(SECRETS)


class Broken(Good):
    name = "broken"

    def __init__(self, context: Context) -> None:
        raise RuntimeError("out of order")


def test_each_begins_when_its_stores_are_filled_and_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {one.name: f"{one.name}:-" for one in (Broken, Waiting, Good)}
    monkeypatch.setattr(table, "CONTROLLERS", rows)
    classes = {"good": Good, "waiting": Waiting, "broken": Broken}
    monkeypatch.setattr(table, "load", lambda name: classes[name])
    cluster = Cluster()
    cluster.create(PODS, {"metadata": {"name": "p"}, "spec": {"containers": []}})
    cluster.create(CONFIG_MAPS, {"metadata": {"name": "m"}})
    api = WatchingApi(cluster)
    Good.seen.clear()
    manager = Manager(api, Options(leader_elect=False))
    stop = threading.Event()
    thread = threading.Thread(target=manager.run, args=(stop,))
    thread.start()
    try:
        until(lambda: Good.seen == ["default/p"], "the good one works")
        ready = manager.ready()
        assert ready["good"] == ""
        assert ready["waiting"] == "no list yet of secrets"
        assert ready["broken"] == "RuntimeError: out of order"
        assert serving.report("readyz", ready, False)[0] == 500
        api.missing.clear()
        until(lambda: manager.ready()["waiting"] == "", "the other one begins, late")
        assert 'workqueue_depth{name="good"} 0' in manager.metrics()
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    assert manager.ready() == {"ping": ""}


# -- what is told --------------------------------------------------------------------------------


def test_a_check_that_fails_is_told_with_its_reason() -> None:
    status, told = serving.report("readyz", {"a": "", "b": "no list yet of pods"}, False)
    assert status == 500
    assert told == "[+]a ok\n[-]b failed: no list yet of pods\nreadyz check failed"
    assert serving.report("readyz", {"a": ""}, False) == (200, "ok")


def test_figures_have_upstreams_names() -> None:
    told = text([QueueFigures("job-controller", 1, 2, 3, 4, 0.5)], True, "lease", {"x_total": 1.0})
    assert 'workqueue_adds_total{name="job-controller"} 2\n' in told
    assert 'workqueue_work_duration_seconds_sum{name="job-controller"} 0.500000\n' in told
    assert "# TYPE x_total counter\nx_total 1\n" in told
