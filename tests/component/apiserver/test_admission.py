"""Admission as clients meet it: what is filled in, what is refused and in which words, and what
many clients at once can't get around."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.component.apiserver.conftest import Api, ServerUnderTest
from tests.support.waiting import until

Json = dict[str, Any]

_MERGE = "application/merge-patch+json"
_NODE_TOKEN = "secret-of-the-node"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    made = ServerUnderTest(tmp_path_factory.mktemp("apiserver"))
    tokens: Path = made.folder / "tokens.csv"
    tokens.write_text(
        f'{_NODE_TOKEN},system:node:one,9,"system:nodes"\nsecret-of-jane,jane,7,"dev"\n'
    )
    made.start()
    yield made
    made.stop()


def pod(name: str, **spec: Any) -> Json:
    return {"metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "busybox"}], **spec}}  # fmt: skip


@pytest.fixture
def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def cluster(api: Api, path: str, obj: Json) -> None:
    code, answer = api("POST", path, obj)
    assert code == 201, answer


def test_a_pod_gets_account_token_tolerations_and_priority(api: Api, pods: str) -> None:
    spec = api("POST", pods, pod("a"))[1]["spec"]
    assert (spec["serviceAccountName"], spec["priority"]) == ("default", 0)
    assert spec["volumes"][0]["name"].startswith("kube-api-access-")
    assert {t["key"]: t["tolerationSeconds"] for t in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready": 300,
        "node.kubernetes.io/unreachable": 300,
    }
    code, bare = api("POST", pods, pod("b", automountServiceAccountToken=False))
    assert code == 201
    assert "volumes" not in bare["spec"]


def test_a_pod_of_an_account_that_is_not_there_is_refused(api: Api, pods: str) -> None:
    code, answer = api("POST", pods, pod("a", serviceAccountName="nobody"))
    namespace = pods.split("/")[4]
    assert (code, answer["message"]) == (
        403,
        f'pods "a" is forbidden: error looking up service account {namespace}/nobody: '
        'serviceaccount "nobody" not found',
    )


def test_priority_comes_from_its_class(api: Api, pods: str) -> None:
    cluster(api, "/apis/scheduling.k8s.io/v1/priorityclasses",
            {"metadata": {"name": "high"}, "value": 77, "preemptionPolicy": "Never"})  # fmt: skip
    spec = api("POST", pods, pod("a", priorityClassName="high"))[1]["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (77, "Never")
    code, answer = api("POST", pods, pod("b", priorityClassName="none"))
    assert (code, answer["message"]) == (
        403, 'pods "b" is forbidden: no PriorityClass with name none was found'
    )  # fmt: skip
    code, answer = api("POST", pods, pod("c", priority=5))
    assert code == 403
    assert "the integer value of priority (5) must not be provided" in answer["message"]


def test_a_runtime_class_adds_its_overhead(api: Api, pods: str) -> None:
    cluster(api, "/apis/node.k8s.io/v1/runtimeclasses",
            {"metadata": {"name": "boxed"}, "handler": "boxed",
             "overhead": {"podFixed": {"memory": "64Mi"}},
             "scheduling": {"nodeSelector": {"boxed": "yes"}}})  # fmt: skip
    spec = api("POST", pods, pod("a", runtimeClassName="boxed"))[1]["spec"]
    assert (spec["overhead"], spec["nodeSelector"]) == ({"memory": "64Mi"}, {"boxed": "yes"})


def test_a_namespace_says_how_much_its_pods_may_ask(api: Api, namespace: str, pods: str) -> None:
    assert api("POST", pods, pod("before"))[0] == 201
    url = f"{api.server.url}/api/v1/namespaces/{namespace}"
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    answer = api.server.session().patch(
        url, data=json.dumps(labels), headers={"Content-Type": _MERGE}, timeout=30
    )
    assert answer.ok
    assert f'existing pods in namespace \\"{namespace}\\" violate' in answer.headers["Warning"]
    code, refusal = api("POST", pods, pod("after"))
    assert code == 403
    assert refusal["message"].startswith(
        'pods "after" is forbidden: violates PodSecurity "restricted:latest": '
        "allowPrivilegeEscalation != false"
    )
    workload = {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}},
    }  # fmt: skip
    assert api("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", workload)[0] == 201
    wrong = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "strict"}}}
    assert api("PATCH", f"/api/v1/namespaces/{namespace}", wrong, _MERGE)[0] == 422


def test_a_limit_range_completes_and_bounds(api: Api, namespace: str, pods: str) -> None:
    item = {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "500m"}}
    cluster(api, f"/api/v1/namespaces/{namespace}/limitranges",
            {"metadata": {"name": "l"}, "spec": {"limits": [item]}})  # fmt: skip
    made = api("POST", pods, pod("a"))[1]
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}
    }  # fmt: skip
    greedy = pod("b")
    greedy["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2"}}
    code, answer = api("POST", pods, greedy)
    assert (code, answer["message"]) == (
        403,
        'pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
    )


def test_a_quota_holds_however_many_ask_at_once(api: Api, namespace: str) -> None:
    quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
    hard = {"configmaps": "5"}
    cluster(api, quotas, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    state = {"status": {"hard": hard, "used": {"configmaps": "0"}}}
    assert api("PATCH", f"{quotas}/q/status", state, _MERGE)[0] == 200
    codes: list[int] = []

    def ask(number: int) -> None:
        mine = Api(api.server)
        for turn in range(4):
            path = f"/api/v1/namespaces/{namespace}/configmaps"
            codes.append(mine("POST", path, {"metadata": {"name": f"m{number}-{turn}"}})[0])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [201] * 5 + [403] * 19
    assert api("GET", f"{quotas}/q")[1]["status"]["used"] == {"configmaps": "5"}
    more = {"metadata": {"name": "more"}}
    _, answer = api("POST", f"/api/v1/namespaces/{namespace}/configmaps", more)
    assert answer["message"] == (
        'configmaps "more" is forbidden: exceeded quota: q, requested: configmaps=1, used: '
        "configmaps=5, limited: configmaps=5"
    )


def test_claims_and_ingresses_get_the_default_class_and_protection(
    api: Api, namespace: str
) -> None:
    for number, default in enumerate(("false", "true")):
        cluster(api, "/apis/storage.k8s.io/v1/storageclasses",
                {"metadata": {"name": f"s{number}", "annotations": {
                    "storageclass.kubernetes.io/is-default-class": default}},
                 "provisioner": "example.com/disk"})  # fmt: skip
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"metadata": {"name": "p"}, "spec": spec}
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    made = api("POST", claims, claim)[1]
    assert made["spec"]["storageClassName"] == "s1"
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert api("PATCH", f"{claims}/p/status", {"status": {"phase": "Bound"}}, _MERGE)[0] == 200
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    code, answer = api("PATCH", f"{claims}/p", more, _MERGE)
    assert code == 403
    assert "only dynamically provisioned pvc can be resized" in answer["message"]


def test_the_namespaces_of_the_system_stay(api: Api) -> None:
    code, answer = api("DELETE", "/api/v1/namespaces/kube-system")
    assert (code, answer["message"]) == (
        403, 'namespaces "kube-system" is forbidden: this namespace may not be deleted'
    )  # fmt: skip


def test_nothing_comes_into_a_namespace_that_goes(api: Api, namespace: str) -> None:
    assert api("DELETE", f"/api/v1/namespaces/{namespace}")[0] == 200
    code, answer = api("POST", f"/api/v1/namespaces/{namespace}/configmaps",
                       {"metadata": {"name": "a"}})  # fmt: skip
    assert (code, answer["reason"]) == (403, "Forbidden")
    assert answer["details"]["causes"][0]["reason"] == "NamespaceTerminating"


def ask_as(
    api: Api, token: str, method: str, path: str, body: Json, kind: str = "application/json"
) -> tuple[int, str]:
    """Ask as whoever has a token: the code and the message."""
    session = requests.Session()
    session.trust_env = False
    answer = session.request(
        method, api.server.url + path, data=json.dumps(body), timeout=30,
        headers={"Authorization": f"Bearer {token}", "Content-Type": kind},
        verify=str(api.server.folder / "ca.crt"),
    )  # fmt: skip
    return answer.status_code, answer.json().get("message", "")


# -- nodes ---------------------------------------------------------------------------------------


def test_a_kubelet_writes_its_own_node_and_no_other(api: Api) -> None:
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    cluster(api, "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            {"metadata": {"name": "all-for-nodes"}, "rules": [rule]})  # fmt: skip
    cluster(api, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            {"metadata": {"name": "all-for-nodes"}, "subjects": [
                {"kind": "Group", "name": "system:nodes"}],
             "roleRef": {"kind": "ClusterRole", "name": "all-for-nodes"}})  # fmt: skip

    def ask(method: str, path: str, body: Json, kind: str = "application/json") -> tuple[int, str]:
        return ask_as(api, _NODE_TOKEN, method, path, body, kind)

    code, _ = ask("POST", "/api/v1/nodes", {"metadata": {"name": "one"}})
    assert code == 201
    taints = api("GET", "/api/v1/nodes/one")[1]["spec"]["taints"]
    assert taints == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert ask("POST", "/api/v1/nodes", {"metadata": {"name": "two"}}) == (
        403, 'nodes "two" is forbidden: node "one" is not allowed to modify node "two"'
    )  # fmt: skip
    code, why = ask("PATCH", "/api/v1/nodes/one", {"spec": {"taints": None}}, _MERGE)
    assert (code, why) == (
        403, 'nodes "one" is forbidden: node "one" is not allowed to modify taints'
    )  # fmt: skip
    label = {"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}}
    assert ask("PATCH", "/api/v1/nodes/one", label, _MERGE)[0] == 403
    code, why = ask("POST", "/api/v1/namespaces/default/pods", pod("p"))
    assert code == 403
    assert "can only create mirror pods" in why
    mirror = pod("m", nodeName="one")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert ask("POST", "/api/v1/namespaces/default/pods", mirror)[0] == 201
    token = "/api/v1/namespaces/default/serviceaccounts/default/token"
    code, why = ask("POST", token, {"spec": {}})
    assert (code, why) == (
        403,
        'serviceaccounts "default" is forbidden: node requested token not bound to a pod',
    )
    mine, other = pod("mine"), pod("other")
    mine["spec"]["nodeName"] = "one"
    for one, expected in ((mine, 201), (other, 403)):
        made = api("POST", "/api/v1/namespaces/default/pods", one)[1]["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": made["name"], "uid": made["uid"]}
        assert ask("POST", token, {"spec": {"boundObjectRef": bound}})[0] == expected


# -- roles ---------------------------------------------------------------------------------------


def test_nobody_grants_what_they_may_not_do(api: Api, namespace: str) -> None:
    group = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    mine = {"metadata": {"name": "mine"}, "rules": [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"],
         "verbs": ["create", "update", "get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]}  # fmt: skip
    cluster(api, f"{group}/roles", mine)
    role_ref = {"kind": "Role", "name": "mine"}
    subjects = [{"kind": "User", "name": "jane"}]
    binding = {"metadata": {"name": "jane"}, "roleRef": role_ref, "subjects": subjects}
    cluster(api, f"{group}/rolebindings", binding)

    def jane(path: str, body: Json) -> tuple[int, str]:
        return ask_as(api, "secret-of-jane", "POST", path, body)

    def rules(*verbs: str) -> list[Json]:
        return [{"apiGroups": [""], "resources": ["pods"], "verbs": list(verbs)}]

    assert jane(f"{group}/roles", {"metadata": {"name": "a"}, "rules": rules("get")})[0] == 201
    code, why = jane(f"{group}/roles", {"metadata": {"name": "b"}, "rules": rules("delete")})
    assert (code, why) == (
        403,
        'roles.rbac.authorization.k8s.io "b" is forbidden: user "jane" '
        '(groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not '
        'currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
    )
    bind = {**binding, "metadata": {"name": "c"},
            "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}}  # fmt: skip
    code, why = jane(f"{group}/rolebindings", bind)
    assert code == 403
    assert "attempting to grant RBAC permissions not currently held" in why
    assert jane(f"{group}/rolebindings", {**binding, "metadata": {"name": "d"}})[0] == 201


# -- services ------------------------------------------------------------------------------------


def service(name: str, **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def test_a_service_gets_an_address_that_is_free_again_when_it_goes(
    api: Api, namespace: str
) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"
    made = api("POST", services, service("a", type="NodePort"))[1]
    address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    assert made["spec"]["clusterIPs"] == [address]
    assert made["spec"]["ipFamilyPolicy"] == "SingleStack"
    addresses = "/apis/networking.k8s.io/v1/ipaddresses"
    parent = api("GET", f"{addresses}/{address}")[1]["spec"]["parentRef"]
    assert parent == {"resource": "services", "namespace": namespace, "name": "a"}
    code, answer = api("POST", services, service("b", clusterIP=address))
    assert code == 422
    assert "provided IP is already allocated" in answer["message"]
    taken = service("b", type="NodePort")
    taken["spec"]["ports"][0]["nodePort"] = port
    code, answer = api("POST", services, taken)
    assert (code, answer["details"]["causes"][0]["field"]) == (422, "spec.ports[0].nodePort")
    assert api("DELETE", f"{services}/a")[0] == 200
    until(lambda: api("GET", f"{addresses}/{address}")[0] == 404, "the address is given back")
    again = service("b", type="NodePort", clusterIP=address)
    again["spec"]["ports"][0]["nodePort"] = port
    until(lambda: api("POST", services, again)[0] == 201, "both can be had again")


def test_a_service_that_is_refused_keeps_nothing(api: Api, namespace: str) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"
    before = len(api("GET", "/apis/networking.k8s.io/v1/ipaddresses")[1]["items"])
    assert api("POST", services, service("a", sessionAffinity="Never"))[0] == 422
    dry = api("POST", f"{services}?dryRun=All", service("b"))
    assert dry[0] == 201
    assert len(api("GET", "/apis/networking.k8s.io/v1/ipaddresses")[1]["items"]) == before


def test_a_service_changes_its_type(api: Api, namespace: str) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"
    first = api("POST", services, service("a", type="NodePort"))[1]["spec"]
    spec = api("PATCH", f"{services}/a", {"spec": {"type": "ClusterIP"}}, _MERGE)[1]["spec"]
    assert spec["clusterIP"] == first["clusterIP"]
    assert "nodePort" not in spec["ports"][0]
    name = {"spec": {"type": "ExternalName", "externalName": "example.com"}}
    spec = api("PATCH", f"{services}/a", name, _MERGE)[1]["spec"]
    assert "clusterIP" not in spec
    assert api("PUT", f"{services}/a", service("a"))[1]["spec"]["clusterIP"]


def test_headless_services_have_no_address(api: Api, namespace: str) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"
    spec = api("POST", services, service("a", clusterIP="None", selector={"a": "b"}))[1]["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])
    code, _ = api("PATCH", f"{services}/a", {"spec": {"clusterIP": "10.96.1.1"}}, _MERGE)
    assert code == 422


# -- certificates --------------------------------------------------------------------------------


def test_a_certificate_is_asked_for_approved_and_put_in(api: Api) -> None:
    request = base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----\n").decode()
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    spec = {"request": request, "signerName": "example.com/mine", "usages": ["client auth"]}
    made = api("POST", path, {"metadata": {"name": "c"}, "spec": {**spec, "username": "x"}})[1]
    assert made["spec"]["username"] != "x"
    approved = {**made, "status": {"conditions": [
        {"type": "Approved", "status": "True", "reason": "Asked"}]}}  # fmt: skip
    code, after = api("PUT", f"{path}/c/approval", approved)
    assert code == 200
    (condition,) = after["status"]["conditions"]
    assert condition["lastUpdateTime"]
    done = {"status": {"certificate": base64.b64encode(b"cert").decode()}}
    code, after = api("PATCH", f"{path}/c/status", done, _MERGE)
    assert code == 200
    assert after["status"]["conditions"] == [condition]
    undone = {"status": {"certificate": None}}
    assert api("PATCH", f"{path}/c/status", undone, _MERGE)[0] == 422


def test_plugins_can_be_switched_off(tmp_path: Path) -> None:
    server = ServerUnderTest(tmp_path, "--disable-admission-plugins", "ServiceAccount,Priority")
    server.start()
    try:
        code, made = Api(server)("POST", "/api/v1/namespaces/default/pods", pod("a"))
        assert code == 201
        assert not {"serviceAccountName", "priority", "volumes"} & set(made["spec"])
    finally:
        server.stop()
