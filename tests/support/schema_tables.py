"""Reads the facts of the Kubernetes API types out of their Go declarations, into our tables.

    python tests/support/schema_tables.py FOLDER

FOLDER holds check-outs of one release of k8s.io/api, k8s.io/apimachinery,
k8s.io/apiextensions-apiserver and k8s.io/kube-aggregator, under those last names. The tables are
written to pykubelet/objects/schema, one for each group-version; `tables.py` there says how they
read. Only facts are taken: names, numbers, types, keys, defaults, enumerated values. Run it when
the API level moves, and review the difference.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

PACKAGES = {
    "meta/v1": "apimachinery/pkg/apis/meta/v1",
    "runtime": "apimachinery/pkg/runtime",
    "apiextensions/v1": "apiextensions-apiserver/pkg/apis/apiextensions/v1",
    "apiregistration/v1": "kube-aggregator/pkg/apis/apiregistration/v1",
    **{
        name: f"api/{name}"
        for name in (
            "admission/v1", "admissionregistration/v1", "apidiscovery/v2", "apps/v1",
            "authentication/v1", "authorization/v1", "autoscaling/v1", "autoscaling/v2",
            "batch/v1", "certificates/v1", "coordination/v1", "core/v1", "discovery/v1",
            "events/v1", "flowcontrol/v1", "networking/v1", "node/v1", "policy/v1", "rbac/v1",
            "resource/v1", "scheduling/v1", "storage/v1",
        )
    },
}  # fmt: skip
SCALARS = {
    "string": "string", "bool": "bool", "int32": "int32", "int64": "int64", "int": "int64",
    "float64": "float64", "byte": "byte", "uint8": "byte", "types.UID": "string",
    "types.NamespacedName": "string", "resource.Quantity": "Quantity",
    "intstr.IntOrString": "IntOrString", "metav1.Time": "Time", "metav1.MicroTime": "MicroTime",
    "metav1.Duration": "Duration", "runtime.RawExtension": "RawExtension",
    "runtime.Object": "RawExtension", "metav1.FieldsV1": "FieldsV1", "types.NodeName": "string",
}  # fmt: skip
OWN_SCALARS = {
    "meta/v1": {"Time", "MicroTime", "Duration", "FieldsV1", "Timestamp", "WatchEvent",
                "InternalEvent"},
    "runtime": {"RawExtension", "TypeMeta"},
    "apiextensions/v1": {"JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool",
                         "JSONSchemaPropsOrStringArray"},
}  # fmt: skip

STRUCT = re.compile(r"^type (\w+) struct ?\{")
ALIAS = re.compile(r"^type (\w+) =? ?([\w.\[\]*]+)\s*$")
CONST = re.compile(r'^\t?(?:const )?(\w+)\s+(\w+)\s*=\s*"([^"]*)"')
CONST_CAST = re.compile(r'^\t?(?:const )?(\w+)\s*=\s*(\w+)\("([^"]*)"\)')
PLAIN_CONST = re.compile(r'^\t?(?:const )?(\w+)(?:\s+\w+)?\s*=\s*("[^"]*"|-?\d+)')
FIELD = re.compile(r"^\t(?:(\w+)\s+)?([\w.\[\]*]+)\s+`([^`]*)`")
TAG = re.compile(r'(\w+):"([^"]*)"')

GoField = tuple[str, str, dict[str, str], list[str]]  # name, type, tags, comment lines


class Package:
    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.structs: dict[str, tuple[set[str], list[GoField]]] = {}
        self.aliases: dict[str, str] = {}
        self.enums: dict[str, bool] = {}
        self.consts: dict[str, str] = {}
        self.values: dict[str, list[str]] = {}
        self.imports: dict[str, str] = {}
        for source in sorted(folder.glob("*.go")):
            if not re.search(r"_test\.go$|^zz_|generated|swagger", source.name):
                self._read(source.read_text())

    def _read(self, text: str) -> None:
        for alias, path in re.findall(r'^\t(\w+)? ?"(k8s\.io/[\w./-]+)"', text, re.M):
            parts = path.split("/")
            known = "/".join(parts[-2:])
            if known in PACKAGES:
                self.imports[alias or parts[-1]] = known
            elif path == "k8s.io/apimachinery/pkg/runtime":
                self.imports[alias or "runtime"] = "runtime"
        comments: list[str] = []
        older: list[str] = []
        inside: str | None = None
        for line in text.splitlines():
            stripped = line.strip()
            if stripped.startswith("//"):
                comments.append(stripped[2:].strip())
                continue
            if not stripped:
                older, comments = older + comments if not inside else [], []
                continue
            if match := STRUCT.match(line):
                inside = match[1]
                self.structs[inside] = ({*older, *comments}, [])
                if line.rstrip().endswith("}"):
                    inside = None
            elif line.startswith("}"):
                inside = None
            elif inside and (match := FIELD.match(line)):
                tags = dict(TAG.findall(match[3]))
                self.structs[inside][1].append((match[1] or "", match[2], tags, comments))
            elif match := ALIAS.match(line):
                self.aliases[match[1]] = match[2]
                self.enums[match[1]] = "+enum" in comments
            if match := CONST.match(line) or CONST_CAST.match(line):
                self.values.setdefault(match[2], []).append(match[3])
            if match := PLAIN_CONST.match(line):
                self.consts[match[1]] = match[2]
            older, comments = [], []


def main() -> None:
    root = Path(sys.argv[1])
    target = Path(__file__).resolve().parents[2] / "pykubelet" / "objects" / "schema"
    packages = {name: Package(name, root / path) for name, path in PACKAGES.items()}
    for name, package in packages.items():
        if name != "runtime":
            text = table(package, packages)
            (target / f"{name.replace('/', '_')}.schema").write_text(text)


def table(package: Package, packages: dict[str, Package]) -> str:
    lines = [f"# The types of {package.name}; tables.py says how to read this."]
    skip = OWN_SCALARS.get(package.name, set())
    wanted = {*package.structs, *package.aliases} - skip
    for name in sorted(package.values):
        if package.enums.get(name) and name in wanted:
            lines.append(f"enum {name} {' '.join(v or '-' for v in package.values[name])}")
    for name, underlying in sorted(package.aliases.items()):
        if name in wanted and underlying.startswith("[]") and name in ("ExtraValue", "Verbs"):
            lines.append(f"type {name} wrapper\n items 1 {underlying}")
    for name, (comments, fields) in sorted(package.structs.items()):
        if name not in wanted:
            continue
        flags = ["atomic"] if comments & {"+structType=atomic", "+mapType=atomic"} else []
        made = []
        for go_name, go_type, tags, notes in fields:
            if go_type.endswith("TypeMeta") and not go_name:
                flags.append("object")
                continue
            entry = field(package, packages, go_name, go_type, tags, notes)
            if entry:
                made.append(" " + entry)
        lines.append(" ".join(["type", name, *flags]))
        lines.extend(made)
    return "\n".join(lines) + "\n"


def field(
    package: Package, packages: dict[str, Package], go_name: str, go_type: str,
    tags: dict[str, str], notes: list[str],
) -> str:  # fmt: skip
    name, _, options = tags.get("json", "").partition(",")
    if name == "-" or "json" not in tags:
        return ""
    proto = tags.get("protobuf", "").split(",")
    number = proto[1] if len(proto) > 1 else "0"
    inline = not name
    words = [name or "~", number, resolve(package, packages, go_type)]
    marks = [note[1:] for note in notes if note.startswith("+")]
    if not inline and "omitempty" not in options and "omitzero" not in options:
        words.append("always")
        if "optional" in marks:
            words.append("optional")
    elif "required" in marks:
        words.append("required")
    if "omitzero" in options and not go_type.startswith(("*", "[]", "map[")):
        words.append("omitzero")
    for mark in marks:
        key, _, value = mark.partition("=")
        if key == "default":
            words.append("default=" + default(package, value))
        elif key in ("structType", "mapType") and value == "atomic":
            words.append("atomic")
        elif key == "listType" and value in ("atomic", "set"):
            words.append("list" if value == "atomic" else "set")
        elif key == "nullable":
            words.append("nullable")
    keys = list(dict.fromkeys(m.partition("=")[2] for m in marks if m.startswith("listMapKey=")))
    if keys:
        words.append("map=" + ",".join(keys))
    strategies = tags.get("patchStrategy", "").split(",")
    if "merge" in strategies:
        words.append("merge" + (f"={tags['patchMergeKey']}" if "patchMergeKey" in tags else ""))
    for other in ("retainKeys", "replace"):
        if other in strategies:
            words.append(other)
    return " ".join(words)


def default(package: Package, value: str) -> str:
    if match := re.fullmatch(r"ref\((?:[\w./]*\.)?(\w+)\)", value):
        value = package.consts[match[1]]
    return json.dumps(json.loads(value), separators=(",", ":")).replace(" ", "\\u0020")


def resolve(package: Package, packages: dict[str, Package], go: str) -> str:
    if go.startswith("*"):
        return "*" + resolve(package, packages, go[1:])
    if go.startswith("[]"):
        inner = resolve(package, packages, go[2:])
        return "bytes" if inner == "byte" else "[]" + inner
    if match := re.fullmatch(r"map\[([\w.]+)\](.+)", go):
        return "{}" + resolve(package, packages, match[2])
    if go in SCALARS:
        return SCALARS[go]
    alias, dot, name = go.rpartition(".")
    home = packages[package.imports[alias]] if dot else package
    prefix = "" if home is package else f"{home.name}."
    if name in OWN_SCALARS.get(home.name, ()):
        return name
    if name in ("ExtraValue", "Verbs"):
        return prefix + name
    if name in home.aliases:
        if home.enums.get(name) and home.values.get(name):
            return prefix + name
        inner = resolve(home, packages, home.aliases[name])
        simple = re.sub(r"^[*\[\]{}]*", "", inner)
        if home is not package and simple in home.structs:
            return inner.replace(simple, prefix + simple)
        return inner
    assert name in home.structs, f"{package.name}: {go}"
    return prefix + name


if __name__ == "__main__":
    main()
