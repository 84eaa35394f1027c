"""What others see of a configuration: /configz, a reload, the reference page."""

from __future__ import annotations

import dataclasses

from pykubelet.kubelet.config import Configuration, configz, difference, taken_up
from pykubelet.kubelet.config.configuration import TABLE
from pykubelet.kubelet.config.loading import combine
from pykubelet.kubelet.config.reading import read
from pykubelet.kubelet.config.views import reference
from pykubelet.objects.documents import Document

TYPE = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}


def test_configz_speaks_as_the_file_does() -> None:
    body = configz(Configuration())["kubeletconfig"]
    assert body["maxPods"] == 110
    assert body["syncFrequency"] == "1m0s"
    assert body["containerLogMaxSize"] == "10Mi"
    assert body["authentication"]["webhook"] == {"enabled": True, "cacheTTL": "2m0s"}
    assert "maxParallelImagePulls" not in body


def test_what_configz_says_reads_back_as_the_same_configuration() -> None:
    config = dataclasses.replace(
        Configuration(),
        max_pods=7,
        system_reserved={"cpu": "1"},
        register_with_taints=({"key": "a", "effect": "NoSchedule"},),
        sync_frequency=90.0,
        memory_throttling_factor=0.9,
    )
    body = configz(config)["kubeletconfig"]
    assert combine([read(Document({**TYPE, **body}, "configz", ""))]) == config


def test_a_reload_tells_what_can_be_taken_up_and_what_needs_a_restart() -> None:
    old = Configuration()
    new = dataclasses.replace(old, port=1, verbosity=4, root_dir="/x", container_log_max_files=9)
    found = difference(old, new)
    assert set(found.apply) == {"logging.verbosity", "containerLogMaxFiles"}
    assert set(found.restart) == {"port", "--root-dir"}
    running = taken_up(old, new)
    assert (running.port, running.verbosity) == (10250, 4)
    assert difference(old, old) == type(found)()


def test_the_reference_page_has_every_setting() -> None:
    page = reference()
    for known in TABLE:
        assert f"`{known.path or known.flag}`" in page
    assert "`featureGates`" in page
