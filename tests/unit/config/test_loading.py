"""From files, drop-ins and flags to the agent's configuration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Failed, Invalid
from pykubelet.kubelet import config
from pykubelet.kubelet.config.configuration import TABLE, Configuration
from pykubelet.kubelet.config.ignored import HARMLESS, IGNORED
from pykubelet.kubelet.config.reading import read
from pykubelet.objects.documents import Document

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def load(*argv: str | Path) -> Configuration:
    parser = argparse.ArgumentParser()
    config.add_flags(parser)
    return config.load(parser.parse_args([str(arg) for arg in argv]))


def file(folder: Path, body: str, name: str = "kubelet.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + body)
    return path


def complaints(folder: Path, body: str) -> list[str]:
    with pytest.raises(config.Rejected) as caught:
        load("--config", file(folder, body))
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


# -- what holds without a file -------------------------------------------------------------------


def test_without_files_and_flags_the_defaults_hold() -> None:
    assert load() == Configuration()
    assert load().static_pod_path == "/etc/kubernetes/manifests"
    assert load().root_dir == "/var/lib/kubelet"
    assert load().container_runtime_endpoint == "unix:///run/containerd/containerd.sock"
    assert load().pod_logs_dir == "/var/log/pods"
    assert load().eviction_hard["memory.available"] == "100Mi"


def test_a_host_with_swap_is_not_refused_unless_asked() -> None:
    """Complaint 20: the agent refuses to start with swap on."""
    assert load().fail_swap_on is False
    assert load().swap_behavior == ""


def test_every_default_is_a_value_that_a_file_could_give() -> None:
    for known in TABLE:
        written = known.kind.write(known.default)
        if known.attribute not in ("memory_throttling_factor", "max_parallel_image_pulls"):
            assert known.kind.read(written) == known.default, known.attribute


# -- files -----------------------------------------------------------------------------------------


def test_a_file_is_read_with_its_durations_sizes_maps_and_lists(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        """
maxPods: 42
syncFrequency: 1m30s
containerLogMaxSize: 5Mi
clusterDNS: [10.96.0.10]
systemReserved: {cpu: 200m, memory: 1Gi}
evictionHard: {memory.available: 5%}
authentication: {x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}}
crashLoopBackOff: {maxContainerRestartPeriod: 10s}
registerWithTaints: [{key: a, effect: NoSchedule}]
shutdownGracePeriodByPodPriority: [{priority: 1000, shutdownGracePeriodSeconds: 20}]
""",
    )
    found = load("--config", path)
    assert found.max_pods == 42
    assert found.sync_frequency == 90
    assert found.container_log_max_size == 5 * 2**20
    assert found.cluster_dns == ("10.96.0.10",)
    assert found.system_reserved == {"cpu": "200m", "memory": "1Gi"}
    assert found.eviction_hard == {"memory.available": "5%"}
    assert found.client_ca_file == "/etc/kubernetes/pki/ca.crt"
    assert found.max_container_restart_period == 10
    assert found.register_with_taints == ({"key": "a", "effect": "NoSchedule"},)
    assert found.shutdown_grace_period_by_pod_priority[0]["shutdownGracePeriodSeconds"] == 20
    assert found.origins["max_pods"] == f"{path}:4"
    assert found.ignored == ()


def test_json_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.json"
    path.write_text(
        '{"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",\n'
        ' "maxPods": 7}'
    )
    assert load("--config", path).max_pods == 7


def test_null_is_the_same_as_leaving_a_field_out(tmp_path: Path) -> None:
    assert load("--config", file(tmp_path, "maxPods: null\nauthentication: null\n")).max_pods == 110


def test_a_socket_without_its_scheme_is_understood() -> None:
    found = load("--container-runtime-endpoint", "/run/crio.sock")
    assert found.container_runtime_endpoint == "unix:///run/crio.sock"


def test_signals_that_evictionHard_leaves_out_are_off_or_keep_their_defaults(
    tmp_path: Path,
) -> None:
    body = "evictionHard: {memory.available: 1Gi}\n"
    assert load("--config", file(tmp_path, body)).eviction_hard == {"memory.available": "1Gi"}
    merged = load("--config", file(tmp_path, body + "mergeDefaultEvictionSettings: true\n"))
    assert merged.eviction_hard["memory.available"] == "1Gi"
    assert merged.eviction_hard["nodefs.available"] == "10%"


def test_defaults_that_follow_other_settings(tmp_path: Path) -> None:
    found = load("--config", file(tmp_path, "nodeStatusUpdateFrequency: 20s\n"))
    assert found.node_status_report_frequency == 20
    found = load("--config", file(tmp_path, "maxParallelImagePulls: 4\n"))
    assert found.serialize_image_pulls is False


# -- mistakes --------------------------------------------------------------------------------------


def test_an_unknown_field_is_named_with_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    (found,) = complaints(tmp_path, "clusterDns: [10.96.0.10]\n")
    assert found.startswith("kubelet.yaml:3: unknown field clusterDns;")
    assert found.endswith("did you mean clusterDNS?")


def test_an_unknown_field_deep_inside_is_named_by_its_whole_path(tmp_path: Path) -> None:
    body = "authentication:\n  webhok:\n    enabled: true\n"
    (found,) = complaints(tmp_path, body)
    assert found.startswith("kubelet.yaml:4: unknown field authentication.webhok;")
    assert "did you mean authentication.webhook?" in found
    body = "registerWithTaints:\n- key: a\n  efect: NoSchedule\n"
    (found,) = complaints(tmp_path, body)
    assert found.startswith("kubelet.yaml:5: unknown field registerWithTaints[0].efect;")


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    found = complaints(tmp_path, "maxPods: many\nport: 70000\nsyncFrequency: 5\nfoo: 1\n")
    assert [text.split(":")[1] for text in found] == ["3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("body", "field", "expected", "found"),
    [
        ("maxPods: many", "maxPods", "a whole number", '"many"'),
        ("maxPods: true", "maxPods", "a whole number", "true"),
        ("maxPods: -1", "maxPods", "from 0", "-1"),
        ("port: 0", "port", "from 1 to 65535", "0"),
        ("enableServer: 'yes'", "enableServer", "true or false", '"yes"'),
        ("syncFrequency: soon", "syncFrequency", "a duration", '"soon"'),
        ("containerLogMonitorInterval: 1s", "containerLogMonitorInterval", "at least 3s", '"1s"'),
        ("containerLogMaxFiles: 1", "containerLogMaxFiles", "2 ", "1"),
        ("cpuCFSQuotaPeriod: 2s", "cpuCFSQuotaPeriod", "from 1ms to 1s", '"2s"'),
        ("clusterDNS: 10.96.0.10", "clusterDNS", "a list", '"10.96.0.10"'),
        ("clusterDNS: [dns]", "clusterDNS[0]", "an IP address", '"dns"'),
        ("evictionHard: {memory: 1Gi}", "evictionHard.memory", "memory.available", '"memory"'),
        ("evictionHard: {memory.available: 1x}", 'evictionHard["memory.available"]', "quantity",
         '"1x"'),
        ("evictionHard: {memory.available: 101%}", 'evictionHard["memory.available"]',
         "percentage", '"101%"'),
        ("systemReserved: {cpu: lots}", "systemReserved.cpu", "a quantity", '"lots"'),
        ("authentication: true", "authentication", "a map", "true"),
        ("cgroupDriver: docker", "cgroupDriver", "systemd", '"docker"'),
        ("podLogsDir: logs", "podLogsDir", "an absolute path", '"logs"'),
        ("memoryThrottlingFactor: 1.5", "memoryThrottlingFactor", "up to 1", "1.5"),
        ("hairpinMode: maybe", "hairpinMode", "hairpin-veth", '"maybe"'),
        ("registerWithTaints: [{key: a}]", "registerWithTaints[0]", "effect", "a map"),
        ("crashLoopBackOff: {maxContainerRestartPeriod: 10m}",
         "crashLoopBackOff.maxContainerRestartPeriod", "to 5m0s", '"10m"'),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_line_field_expected_and_found(
    tmp_path: Path, body: str, field: str, expected: str, found: str
) -> None:
    (text,) = complaints(tmp_path, body + "\n")
    assert text.startswith(f"kubelet.yaml:3: {field} has a wrong value;")
    assert expected in text.split("; ")[1]
    assert text.endswith(f"found {found}")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("imageGCLowThresholdPercent: 90", "imageGCLowThresholdPercent"),
        ("imageMaximumGCAge: 1m", "imageMaximumGCAge"),
        ("{serializeImagePulls: true, maxParallelImagePulls: 3}", "maxParallelImagePulls"),
        ("enforceNodeAllocatable: [kube-reserved]", "kubeReservedCgroup"),
        ("enforceNodeAllocatable: [none, pods]", "enforceNodeAllocatable"),
        ("evictionSoft: {memory.available: 1Gi}", "evictionSoftGracePeriod"),
        ("evictionSoftGracePeriod: {memory.available: 1m}", "evictionSoft"),
        ("shutdownGracePeriodCriticalPods: 10s", "shutdownGracePeriodCriticalPods"),
        ("tlsCertFile: /x.crt", "tlsPrivateKeyFile"),
        ("userNamespaces: {idsPerPod: 65537}", "userNamespaces.idsPerPod"),
        ("{authorization: {mode: AlwaysAllow}, authentication: {anonymous: {enabled: true}}}",
         "authorization.mode"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused_with_their_place(
    tmp_path: Path, body: str, names: str
) -> None:
    if body.startswith("{"):
        body = "\n".join(body[1:-1].split(", ", 1))
    (text,) = complaints(tmp_path, body + "\n")
    assert text.startswith("kubelet.yaml:")
    assert names in text


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text("apiVersion: v1\nkind: Pod\n")
    with pytest.raises(Invalid, match=r"pod.yaml:1: apiVersion does not say what this file is"):
        load("--config", path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"nowhere.yaml: No such file"):
        load("--config", tmp_path / "nowhere.yaml")


def problems_of(body: dict[str, Any]) -> tuple[Invalid, ...]:
    try:
        read(Document(body, "x.yaml", ""))
    except config.Rejected as error:
        return error.problems
    return ()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([s.path for s in TABLE if s.path]), JSON_VALUES, max_size=4))
def test_whatever_stands_in_a_file_it_is_read_or_refused_and_nothing_breaks(
    values: dict[str, Any],
) -> None:
    body: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
    }
    for path, value in values.items():
        *parents, last = path.split(".")
        node = body
        for name in parents:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                return
        node[last] = value
    assert all(problem.where.startswith("x.yaml:") for problem in problems_of(body))


# -- fields that are not acted on ------------------------------------------------------------------


def test_fields_without_effect_are_accepted_and_each_is_told_once(tmp_path: Path) -> None:
    body = "cpuManagerPolicy: static\nfeatureGates: {A: true}\nreadOnlyPort: 0\n"
    found = load("--config", file(tmp_path, body))
    assert [text.replace(f"{tmp_path}/", "") for text in found.ignored] == [
        "kubelet.yaml:3: cpuManagerPolicy is not acted on: " + IGNORED["cpuManagerPolicy"][1],
        "kubelet.yaml:4: featureGates is not acted on: " + IGNORED["featureGates"][1],
    ]


def test_a_field_is_either_acted_on_or_not() -> None:
    acted_on = [s.path for s in TABLE if s.path]
    assert len(set(acted_on)) == len(acted_on)
    assert not set(acted_on) & set(IGNORED)
    assert set(HARMLESS) <= set(IGNORED)


# -- drop-ins and flags ----------------------------------------------------------------------------


def test_drop_ins_override_the_file_in_the_order_of_their_names(tmp_path: Path) -> None:
    main = file(
        tmp_path,
        "maxPods: 1\nport: 1001\nclusterDNS: [10.0.0.1, 10.0.0.2]\n"
        "systemReserved: {cpu: 1, memory: 1Gi}\nauthorization: {mode: Webhook, "
        "webhook: {cacheAuthorizedTTL: 1m}}\n",
    )
    folder = tmp_path / "conf.d"
    file(folder, "maxPods: 3\n", "20-b.conf")
    file(folder, "maxPods: 2\nclusterDNS: [10.0.0.3]\n", "10-a.conf")
    file(folder, "systemReserved: {cpu: 2}\n", "30-more/c.conf")
    file(folder, "maxPods: 99\n", "40-not-read.yaml")
    found = load("--config", main, "--config-dir", folder)
    assert found.max_pods == 3
    assert found.port == 1001
    assert found.cluster_dns == ("10.0.0.3",)
    assert found.system_reserved == {"cpu": "2", "memory": "1Gi"}
    assert found.authorized_ttl == 60


def test_flags_override_every_file(tmp_path: Path) -> None:
    main = file(tmp_path, "maxPods: 1\nevictionHard: {memory.available: 1Gi}\nport: 1001\n")
    found = load(
        "--config", main, "--max-pods", "5", "--eviction-hard", "nodefs.available<5%"
    )  # fmt: skip
    assert (found.max_pods, found.port) == (5, 1001)
    assert found.eviction_hard == {"nodefs.available": "5%"}
    assert found.origins["max_pods"] == "--max-pods"


def test_flags_are_written_as_for_the_reference() -> None:
    found = load(
        "--register-node=false", "--seccomp-default", "--v=4",
        "--cluster-dns", "10.0.0.1,10.0.0.2",
        "--node-labels=a=b,c=",
        "--register-with-taints", "a=b:NoSchedule,c:NoExecute",
        "--kube-reserved", "cpu=200m,memory=150Mi",
        "--eviction-soft", "memory.available<1Gi",
        "--eviction-soft-grace-period", "memory.available=1m30s",
    )  # fmt: skip
    assert (found.register_node, found.seccomp_default, found.verbosity) == (False, True, 4)
    assert found.cluster_dns == ("10.0.0.1", "10.0.0.2")
    assert found.node_labels == {"a": "b", "c": ""}
    assert [taint["effect"] for taint in found.register_with_taints] == ["NoSchedule", "NoExecute"]
    assert found.kube_reserved == {"cpu": "200m", "memory": "150Mi"}
    assert found.eviction_soft_grace_period == {"memory.available": 90.0}


def test_a_wrong_flag_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load("--max-pods", "many")
    assert "argument --max-pods: expected a whole number" in capsys.readouterr().err


def test_the_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load("--help")
    text = capsys.readouterr().out
    assert all(known.flag in text for known in TABLE if known.flag)
