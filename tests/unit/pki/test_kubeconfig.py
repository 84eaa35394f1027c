"""kubeconfig files, read and written."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pykubelet.errors import Invalid
from pykubelet.pki import kubeconfig
from pykubelet.pki.kubeconfig import Kubeconfig


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    config = Kubeconfig(
        "https://10.0.0.1:6443", authority="CA PEM", certificate="CERT", key="KEY",
        token="t", namespace="shop", cluster="home", user="admin", tls_server_name="api",
    )  # fmt: skip
    kubeconfig.write(tmp_path / "admin.conf", config)
    assert kubeconfig.read(tmp_path / "admin.conf") == config
    assert (tmp_path / "admin.conf").stat().st_mode & 0o777 == 0o600


def test_files_are_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("AUTHORITY")
    path = tmp_path / "c.yaml"
    path.write_text(
        """
current-context: b
contexts:
- {name: a, context: {cluster: one, user: u}}
- {name: b, context: {cluster: two, user: u}}
clusters:
- {name: one, cluster: {server: "https://one"}}
- {name: two, cluster: {server: "https://two/", certificate-authority: ca.crt}}
users:
- {name: u, user: {tokenFile: token}}
"""
    )
    config = kubeconfig.read(path)
    assert (config.server, config.authority) == ("https://two", "AUTHORITY")
    assert config.token_file == str(tmp_path / "token")
    assert kubeconfig.read(path, "a").server == "https://one"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Pod", "expected Config"),
        ("current-context: x", r"contexts\[x\]"),
        ("contexts: 7", "contexts"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n"
            "clusters: [{name: c, cluster: {}}]",
            "server",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
            "clusters: [{name: c, cluster: {server: x}}]\n"
            "users: [{name: u, user: {exec: {command: aws}}}]",
            "external program",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n"
            "clusters: [{name: c, cluster: {server: x, certificate-authority-data: '%%%'}}]",
            "certificate-authority-data",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(Invalid, match=said):
        kubeconfig.read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.conf"):
        kubeconfig.read(tmp_path / "none.conf")


def test_data_is_base64_of_pem(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    kubeconfig.write(path, Kubeconfig("https://x", authority="ü"))
    assert base64.b64encode("ü".encode()).decode() in path.read_text()
