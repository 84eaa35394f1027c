"""The distribution's kubectl against the server, as people use it."""

from __future__ import annotations

import json
import threading

from tests.component.apiserver.conftest import ServerUnderTest
from tests.support.waiting import until

APP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "busybox:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: alone, labels: {app: alone}}
spec: {containers: [{name: c, image: busybox}]}
"""


def test_it_says_its_version_and_its_resources(server: ServerUnderTest) -> None:
    assert "Server Version: v1.36" in server.kubectl("version")
    names = server.kubectl("api-resources", "-o", "name").split()
    assert {"pods", "deployments.apps", "leases.coordination.k8s.io"} <= set(names)
    assert "apps/v1" in server.kubectl("api-versions").split()


def test_apply_twice_change_once(server: ServerUnderTest, namespace: str) -> None:
    ns = ("-n", namespace)
    first = server.kubectl(*ns, "apply", "-f", "-", stdin=APP)
    assert first.count("created") == 4
    again = server.kubectl(*ns, "apply", "-f", "-", stdin=APP)
    assert again.count("unchanged") == 4
    changed = APP.replace("replicas: 2", "replicas: 3").replace("blue", "red")
    text = server.kubectl(*ns, "diff", "-f", "-", stdin=changed, check=False)
    assert "+  replicas: 3" in text
    assert "+  colour: red" in text
    third = server.kubectl(*ns, "apply", "-f", "-", stdin=changed)
    assert third.count("configured") == 2
    deployment = json.loads(server.kubectl(*ns, "get", "deploy", "web", "-o", "json"))
    assert deployment["spec"]["replicas"] == 3
    assert deployment["metadata"]["generation"] == 2
    table = server.kubectl(*ns, "get", "deploy,svc,pods,cm", "-o", "wide")
    assert "deployment.apps/web   0/3" in table
    assert "pod/alone   0/1     Pending" in table


def test_typed_commands_send_protobuf(server: ServerUnderTest, namespace: str) -> None:
    ns = ("-n", namespace)
    server.kubectl(*ns, "create", "deployment", "d", "--image=busybox:1", "--replicas=2")
    server.kubectl(*ns, "expose", "deployment", "d", "--port=80")
    server.kubectl(*ns, "create", "secret", "generic", "s", "--from-literal=a=b")
    server.kubectl(*ns, "create", "configmap", "c", "--from-literal=a=b")
    server.kubectl(*ns, "create", "role", "r", "--verb=get", "--resource=pods")
    server.kubectl(*ns, "create", "job", "j", "--image=busybox")
    server.kubectl(*ns, "run", "p", "--image=busybox", "--restart=Never")
    server.kubectl(*ns, "scale", "deployment", "d", "--replicas=5")
    server.kubectl(*ns, "set", "image", "deployment/d", "busybox=busybox:2")
    server.kubectl(*ns, "label", "pod", "p", "x=y")
    server.kubectl(*ns, "annotate", "pod", "p", "x=y")
    server.kubectl(*ns, "patch", "configmap", "c", "-p", '{"data":{"n":"1"}}')
    spec = json.loads(server.kubectl(*ns, "get", "deployment", "d", "-o", "json"))["spec"]
    assert spec["replicas"] == 5
    assert spec["template"]["spec"]["containers"][0]["image"] == "busybox:2"
    assert server.kubectl(*ns, "get", "pods", "-l", "x=y", "-o", "name") == "pod/p\n"
    assert "ClusterIP" in server.kubectl(*ns, "get", "service", "d")
    server.kubectl(*ns, "delete", "deployment,service,secret,job,pod", "--all")
    assert server.kubectl(*ns, "get", "deployment,service,pod", "-o", "name") == ""


def test_server_side_apply_finds_conflicts(server: ServerUnderTest, namespace: str) -> None:
    apply = ("-n", namespace, "apply", "--server-side", "-f", "-")
    server.kubectl(*apply, stdin=APP)
    other = APP.replace("replicas: 2", "replicas: 7")
    said = server.kubectl(*apply, "--field-manager=other", stdin=other, check=False)
    assert 'conflict with "kubectl": .spec.replicas' in said
    server.kubectl(*apply, "--field-manager=other", "--force-conflicts", stdin=other)
    shown = json.loads(
        server.kubectl(
            "-n", namespace, "get", "deploy", "web", "-o", "json", "--show-managed-fields"
        )
    )
    assert shown["spec"]["replicas"] == 7
    assert {m["manager"] for m in shown["metadata"]["managedFields"]} == {"kubectl", "other"}


def test_mistakes_are_told_before_anything_is_stored(
    server: ServerUnderTest, namespace: str
) -> None:
    apply = ("-n", namespace, "apply", "-f", "-")
    wrong = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, %s}]}"
    said = server.kubectl(*apply, stdin=wrong % "imagee: x", check=False)
    assert 'strict decoding error: unknown field "spec.containers[0].imagee"' in said
    said = server.kubectl(*apply, stdin=wrong % "tty: true", check=False)
    assert "spec.containers[0].image: Required value" in said
    assert server.kubectl("-n", namespace, "get", "pods", "-o", "name") == ""


def test_explain_describes_fields(server: ServerUnderTest) -> None:
    text = server.kubectl("explain", "pod.spec.containers.livenessProbe")
    assert "initialDelaySeconds\t<integer>" in text
    assert "HTTPGetAction" in server.kubectl("explain", "pod.spec.containers.livenessProbe.httpGet")


def test_wait_and_watch_see_changes(server: ServerUnderTest, namespace: str) -> None:
    ns = ("-n", namespace)
    server.kubectl(*ns, "apply", "-f", "-", stdin=APP)
    seen: list[str] = []
    waiting = threading.Thread(
        target=lambda: seen.append(
            server.kubectl(*ns, "wait", "pod/alone", "--for=delete", "--timeout=30s")
        )
    )
    waiting.start()
    server.kubectl(*ns, "delete", "pod", "alone", "--wait=false")
    waiting.join(30)
    assert len(seen) == 1  # it came back without an error, whichever of the two was first


def test_who_may_what(server: ServerUnderTest, namespace: str) -> None:
    ns = ("-n", namespace)
    assert server.kubectl("auth", "can-i", "delete", "nodes") == "yes\n"
    assert "no" in server.kubectl(*ns, "auth", "can-i", "get", "pods", "--as=jane", check=False)
    server.kubectl(*ns, "create", "rolebinding", "b", "--clusterrole=view", "--user=jane")
    assert server.kubectl(*ns, "auth", "can-i", "get", "pods", "--as=jane") == "yes\n"
    said = server.kubectl(*ns, "auth", "can-i", "create", "pods", "--as=jane", check=False)
    assert "no" in said
    assert "jane" in server.kubectl("auth", "whoami", "--as=jane", "--as-group=dev")


def test_a_namespace_waits_for_its_finalizer(server: ServerUnderTest) -> None:
    server.kubectl("create", "namespace", "leaving")
    server.kubectl("delete", "namespace", "leaving", "--wait=false")
    assert "Terminating" in server.kubectl("get", "namespace", "leaving")
    said = server.kubectl("-n", "leaving", "create", "configmap", "c", check=False)
    assert "because it is being terminated" in said
    bare = '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"leaving"},"spec":{}}'
    server.kubectl("replace", "--raw", "/api/v1/namespaces/leaving/finalize", "-f", "-", stdin=bare)
    until(
        lambda: "NotFound" in server.kubectl("get", "namespace", "leaving", check=False),
        "the namespace is gone",
    )
