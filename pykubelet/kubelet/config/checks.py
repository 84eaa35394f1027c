"""Settings that are right by themselves and contradict each other.

Each check names the settings as the file spells them and the place they come from. The rules are
upstream's (`ValidateKubeletConfiguration`), for the settings that the agent acts on.
"""

from __future__ import annotations

from collections.abc import Iterator

from pykubelet.errors import Invalid
from pykubelet.kubelet.config.configuration import Configuration


def contradictions(config: Configuration) -> Iterator[Invalid]:
    yield from _images(config)
    yield from _resources(config)
    yield from _eviction(config)
    yield from _shutdown(config)
    if bool(config.tls_cert_file) != bool(config.tls_private_key_file):
        yield _problem(
            config,
            ("tls_cert_file", "tls_private_key_file"),
            "one of tlsCertFile and tlsPrivateKeyFile is set without the other",
            "both, or neither",
        )
    if config.authorization_mode == "AlwaysAllow" and config.anonymous_auth:
        yield _problem(
            config,
            ("authorization_mode", "anonymous_auth"),
            "authorization.mode AlwaysAllow with authentication.anonymous.enabled "
            "gives root on this node to anyone who can reach it",
            "one of them at most",
        )


def _images(config: Configuration) -> Iterator[Invalid]:
    low, high = config.image_gc_low_threshold_percent, config.image_gc_high_threshold_percent
    if low >= high:
        yield _problem(
            config,
            ("image_gc_low_threshold_percent", "image_gc_high_threshold_percent"),
            "imageGCLowThresholdPercent is not below imageGCHighThresholdPercent",
            f"less than {high}",
            str(low),
        )
    if 0 < config.image_maximum_gc_age <= config.image_minimum_gc_age:
        yield _problem(
            config,
            ("image_maximum_gc_age", "image_minimum_gc_age"),
            "imageMaximumGCAge is not above imageMinimumGCAge",
            f"more than {config.image_minimum_gc_age:g} s, or 0",
            f"{config.image_maximum_gc_age:g} s",
        )
    if config.serialize_image_pulls and config.max_parallel_image_pulls > 1:
        yield _problem(
            config,
            ("max_parallel_image_pulls", "serialize_image_pulls"),
            "maxParallelImagePulls above 1 while serializeImagePulls is true",
            "serializeImagePulls: false",
        )


def _resources(config: Configuration) -> Iterator[Invalid]:
    enforce = config.enforce_node_allocatable
    for part, cgroup, name in (
        ("system-reserved", config.system_reserved_cgroup, "systemReservedCgroup"),
        ("kube-reserved", config.kube_reserved_cgroup, "kubeReservedCgroup"),
    ):
        named = [value for value in enforce if value in (part, f"{part}-compressible")]
        if named and not cgroup:
            yield _problem(
                config,
                ("enforce_node_allocatable",),
                f"enforceNodeAllocatable has {named[0]} but {name} is not set",
                f"the cgroup's path in {name}",
            )
        if len(named) > 1:
            yield _problem(
                config,
                ("enforce_node_allocatable",),
                f"enforceNodeAllocatable has both {' and '.join(named)}",
                "one of them",
            )
    if "none" in enforce and len(enforce) > 1:
        yield _problem(
            config,
            ("enforce_node_allocatable",),
            "enforceNodeAllocatable has none beside others",
            "none alone",
        )
    if config.user_namespace_ids_per_pod % 65536:
        yield _problem(
            config,
            ("user_namespace_ids_per_pod",),
            "userNamespaces.idsPerPod is not a multiple of 65536",
            "a multiple of 65536",
            str(config.user_namespace_ids_per_pod),
        )


def _eviction(config: Configuration) -> Iterator[Invalid]:
    for signal in config.eviction_soft:
        if signal not in config.eviction_soft_grace_period:
            yield _problem(
                config,
                ("eviction_soft",),
                f'evictionSoft["{signal}"] has no grace period',
                f'evictionSoftGracePeriod["{signal}"]',
            )
    for signal in config.eviction_soft_grace_period:
        if signal not in config.eviction_soft:
            yield _problem(
                config,
                ("eviction_soft_grace_period",),
                f'evictionSoftGracePeriod["{signal}"] has no threshold',
                f'evictionSoft["{signal}"]',
            )


def _shutdown(config: Configuration) -> Iterator[Invalid]:
    critical, whole = config.shutdown_grace_period_critical_pods, config.shutdown_grace_period
    if critical > whole:
        yield _problem(
            config,
            ("shutdown_grace_period_critical_pods", "shutdown_grace_period"),
            "shutdownGracePeriodCriticalPods is longer than shutdownGracePeriod, of which it is "
            "a part",
            f"at most {whole:g} s",
            f"{critical:g} s",
        )
    if config.shutdown_grace_period_by_pod_priority and (critical or whole):
        yield _problem(
            config,
            ("shutdown_grace_period_by_pod_priority",),
            "shutdownGracePeriodByPodPriority beside shutdownGracePeriod",
            "one of them",
        )


def _problem(
    config: Configuration, attributes: tuple[str, ...], what: str, expected: str, found: str = ""
) -> Invalid:
    where = next((config.origins[name] for name in attributes if name in config.origins), "")
    return Invalid(what, where=where, expected=expected, found=found)
