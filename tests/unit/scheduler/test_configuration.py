"""KubeSchedulerConfiguration: what is taken, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykubelet.errors import Invalid
from pykubelet.objects import documents
from pykubelet.scheduler.config.loading import Configuration, Rejected, load, read
from pykubelet.scheduler.profiles import build, enabled_at

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"


def config(text: str) -> Configuration:
    (document,) = documents.read(HEAD + text, "s.yaml")
    return read(document)


def problems(text: str) -> list[str]:
    with pytest.raises(Rejected) as caught:
        config(text)
    return [str(problem) for problem in caught.value.problems]


def test_an_empty_configuration_is_upstreams_defaults() -> None:
    made = config("")
    (profile,) = made.profiles
    assert profile.name == "default-scheduler"
    assert dict(enabled_at("score", profile.plugins)) == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "NodeResourcesFit": 1,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }
    built = build(profile)
    assert [plugin.name for plugin in built.filters] == [
        "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts",
        "NodeResourcesFit", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding",
        "VolumeZone", "PodTopologySpread", "InterPodAffinity",
    ]  # fmt: skip
    assert made.leader_elect
    assert (made.first_backoff, made.longest_backoff) == (1, 10)


def test_profiles_switch_plugins_and_weights() -> None:
    made = config("""
profiles:
- schedulerName: packer
  percentageOfNodesToScore: 70
  plugins:
    multiPoint:
      disabled: [{name: ImageLocality}]
    score:
      disabled: [{name: PodTopologySpread}]
      enabled: [{name: NodeResourcesFit, weight: 5}]
    postFilter:
      disabled: [{name: '*'}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy:
        type: RequestedToCapacityRatio
        resources: [{name: cpu, weight: 1}]
        requestedToCapacityRatio:
          shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]
- schedulerName: plain
""")
    packer, plain = made.profiles
    assert (packer.name, plain.name, packer.percentage) == ("packer", "plain", 70)
    assert dict(enabled_at("score", packer.plugins)) == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "NodeResourcesFit": 5,
        "InterPodAffinity": 2,
        "NodeResourcesBalancedAllocation": 1,
    }
    assert "PodTopologySpread" in [name for name, _ in enabled_at("filter", packer.plugins)]
    assert build(packer).preemption is None
    assert build(plain).preemption is not None


def test_an_unknown_field_is_refused_with_file_line_and_path() -> None:
    (problem,) = problems("profiles:\n- schedulerName: a\n  pluginz: {}\n")
    assert problem.startswith("s.yaml:5: profiles[0].pluginz: unknown field; expected one of")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("percentageOfNodesToScore: 101", "s.yaml:3: percentageOfNodesToScore: not a usable value"),
        ("podInitialBackoffSeconds: 20", "podMaxBackoffSeconds: below podInitialBackoffSeconds"),
        ("leaderElection: {leaseDuration: soon}", "leaderElection.leaseDuration: not a usable"),
        ("extenders: []", "extenders: not supported"),
        ("profiles: [{}, {}]", "profiles[1].schedulerName: two profiles of one name"),
        ("profiles: [{plugins: {score: {enabled: [{name: Magic}]}}}]",
         "profiles[0].plugins.score.enabled[0].name: no such plugin"),
        ("profiles: [{plugins: {score: {enabled: [{name: NodePorts}]}}}]",
         "profiles[0].plugins.score.enabled[0].name: the plugin takes no part there"),
        ("profiles: [{pluginConfig: [{name: InterPodAffinity, "
         "args: {hardPodAffinityWeight: 101}}]}]",
         "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: not a usable value"),
        ("profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: "
         "[{topologyKey: a, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway}]}}]}]",
         "defaultConstraints: default constraints beside defaultingType System"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where(text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(text))


def test_all_mistakes_are_told_at_once() -> None:
    assert len(problems("parallelism: no\nprofiles: 7\nfoo: 1\n")) == 3


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("apiVersion: v1\nkind: Pod\n")
    with pytest.raises(Rejected, match="not this kind of file"):
        load(path)
    with pytest.raises(Invalid, match="can't be read"):
        load(tmp_path / "none")


def test_fields_without_effect_are_named() -> None:
    (sentence,) = config("parallelism: 16\n").ignored
    assert sentence.startswith("s.yaml:3: parallelism has no effect")


def test_null_lists_are_lists_of_nothing() -> None:
    assert config("profiles: null\n").profiles[0].name == "default-scheduler"
    assert config("profiles: [{plugins: {score: null}}]\n").profiles
