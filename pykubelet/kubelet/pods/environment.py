"""A container's environment, from every source that a spec can name. Pure, given its sources.

Order decides: `envFrom` first, then `env` in the spec's order, each able to refer by `$(NAME)` to
what came before it and to the service variables; those not overridden come last. What can't be
resolved raises ContainerConfigError with upstream's words, and the container waits with that
reason. `fields` answers the downward API, `service_links` turns services into variables, `env_file`
reads the files of `fileKeyRef`; who holds ConfigMaps and Secrets is `..volumes.sources`.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykubelet.errors import Failed, Invalid
from pykubelet.kubelet.pods import env_file, fields, service_links, spec
from pykubelet.kubelet.volumes.sources import Sources, config_map_data, secret_data
from pykubelet.objects.expansion import expand

Json = dict[str, Any]


class ContainerConfigError(Failed):
    """A container can't be configured as things stand. `reason` is the waiting reason to show."""

    reason = "CreateContainerConfigError"


def environment(
    pod: Json,
    container: Json,
    *,
    sources: Sources,
    pod_ips: Sequence[str] = (),
    host_ips: Sequence[str] = (),
    services: Sequence[Json] = (),
    read_file: Callable[[str, str], str | None] | None = None,
    warn: Callable[[str], None] = lambda sentence: None,
) -> list[tuple[str, str]]:
    """The variables of `container`, each name once, in the order they were first set.

    `services` are all that the node knows of (none standalone). `read_file(volume, path)` gives the
    text of a file in one of the pod's volumes, None if it isn't there (`Volumes.read_file`). `warn`
    is told of what was left out, once per envFrom source.

    Raises ContainerConfigError; a source's own Failed (not reachable now) passes through.
    """
    links = pod["spec"].get("enableServiceLinks")
    return _Environment(
        pod=pod,
        container=container,
        sources=sources,
        pod_ips=pod_ips,
        host_ips=host_ips,
        services=service_links.service_variables(
            services, spec.namespace(pod), links=links is None or bool(links)
        ),
        read_file=read_file,
        warn=warn,
    ).variables()


@dataclass(slots=True)
class _Environment:
    pod: Json
    container: Json
    sources: Sources
    pod_ips: Sequence[str]
    host_ips: Sequence[str]
    services: dict[str, str]
    read_file: Callable[[str, str], str | None] | None
    warn: Callable[[str], None]
    #: Content by (kind, name): asked for once, so that one container sees one version.
    content: dict[tuple[str, str], dict[str, bytes] | None] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)

    def variables(self) -> list[tuple[str, str]]:
        for source in self.container.get("envFrom") or ():
            self._take_all(source)
        for variable in self.container.get("env") or ():
            value = self._value(variable)
            if value is not None:
                self.found[variable["name"]] = value
        rest = ((k, v) for k, v in self.services.items() if k not in self.found)
        return [*self.found.items(), *rest]

    def _take_all(self, source: Json) -> None:
        prefix = source.get("prefix") or ""
        for kind in ("configMap", "secret"):
            ref = source.get(f"{kind}Ref")
            if ref is None:
                continue
            misnamed, no_text = [], []
            for key, value in sorted((self._content(kind, ref) or {}).items()):
                name = prefix + key
                if not is_variable_name(name):
                    misnamed.append(name)
                elif (text := as_text(value)) is None:
                    no_text.append(name)
                else:
                    self.found[name] = text
            for names, why in (
                (misnamed, "they are considered invalid environment variable names"),
                (no_text, "their values are not text"),
            ):
                if names:
                    self.warn(
                        f"Keys [{', '.join(names)}] from the EnvFrom {kind} "
                        f"{spec.namespace(self.pod)}/{ref['name']} were skipped since {why}."
                    )

    def _value(self, variable: Json) -> str | None:
        """None where the variable is not to be set at all."""
        value = variable.get("value")
        if value:
            return expand(str(value), ChainMap(self.found, self.services))
        source = variable.get("valueFrom") or {}
        try:
            if ref := source.get("fieldRef"):
                return fields.field_value(
                    self.pod, ref["fieldPath"], pod_ips=self.pod_ips, host_ips=self.host_ips
                )
            if ref := source.get("resourceFieldRef"):
                allocatable = (self.sources.node().get("status") or {}).get("allocatable") or {}
                return fields.resource_value(ref, self.pod, self.container, allocatable=allocatable)
        except Invalid as error:
            raise ContainerConfigError(str(error)) from error
        if ref := source.get("configMapKeyRef"):
            return self._key("configMap", ref)
        if ref := source.get("secretKeyRef"):
            return self._key("secret", ref)
        if ref := source.get("fileKeyRef"):
            return self._file_key(ref)
        return ""

    def _key(self, kind: str, ref: Json) -> str | None:
        content = self._content(kind, ref)
        key = ref["key"]
        if content is not None and key in content:
            text = as_text(content[key])
            if text is not None:
                return text
            raise ContainerConfigError(
                f"the value of key {key} in {kind.lower()} {ref['name']} is not text, and no "
                "environment variable can carry it; mount it as a file"
            )
        if ref.get("optional"):
            return None
        word = "ConfigMap" if kind == "configMap" else "Secret"
        where = f"{spec.namespace(self.pod)}/{ref['name']}"
        raise ContainerConfigError(f"couldn't find key {key} in {word} {where}")

    def _file_key(self, ref: Json) -> str | None:
        volume, path, key = ref["volumeName"], ref["path"], ref["key"]
        text = self.read_file(volume, path) if self.read_file else None
        try:
            value = None if text is None else env_file.value_of(text, key)
        except Invalid as error:
            raise ContainerConfigError(
                f"couldn't parse env file {path} of volume {volume}: {error}"
            ) from error
        if value:
            return value
        if ref.get("optional"):
            return None
        missing = (
            f"environment variable key {key!r} not found in file {path!r} of volume {volume!r}"
            if text is not None
            else f"no env file {path!r} in volume {volume!r}"
        )
        raise ContainerConfigError(missing)

    def _content(self, kind: str, ref: Json) -> dict[str, bytes] | None:
        """None where the object is not there and need not be."""
        name = ref.get("name") or ""
        if (kind, name) not in self.content:
            self.content[kind, name] = self._fetch(kind, name)
        content = self.content[kind, name]
        if content is None and not ref.get("optional"):
            raise ContainerConfigError(f'{kind.lower()} "{name}" not found')
        return content

    def _fetch(self, kind: str, name: str) -> dict[str, bytes] | None:
        fetch = self.sources.config_map if kind == "configMap" else self.sources.secret
        held = fetch(spec.namespace(self.pod), name)
        if held is None:
            return None
        try:
            # A variable is text: a ConfigMap's binaryData never becomes one.
            texts = {"data": held.get("data")}
            return config_map_data(texts) if kind == "configMap" else secret_data(held)
        except ValueError as error:
            raise ContainerConfigError(f'{kind.lower()} "{name}": {error}') from error


def is_variable_name(name: str) -> bool:
    """Whether a container can have a variable of that name: printable ASCII without `=`."""
    return bool(name) and all(" " <= c <= "~" and c != "=" for c in name)


def as_text(value: bytes) -> str | None:
    """What a variable would hold; None for what none can: other encodings than UTF-8, NUL bytes."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
