# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetching a document from a real server on this machine. What is fetched is not applied here (tests/integration/test_pull_http.py)."""

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.kubenode.network.plugins.plugin_utils._pull import sources
from ansible_collections.kubenode.network.plugins.plugin_utils._pull.config import Config
from testbed import web

TEXT = b"node_network_boot: true\n"
SUM = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "served").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "served" / "n1.yml").write_bytes(TEXT)
    certificate = web.make_certificate(tmp_path / "key.pem", "127.0.0.1")
    with web.Server(tmp_path / "served", silence=0.5, certificate=certificate) as made:
        yield made


def source(server, tmp_path, **more):
    settings = {"url": f"{server.url}/files/n1.yml", "ca": f"{tmp_path}/key.pem.crt", **more}
    return sources.Http(Config(source="http", host="n1", bin_dir="/none", python="/none", state_dir=str(tmp_path), timeout=9, **settings))


def fetched(found):
    """What would be applied, kept as the last good one."""
    found.tried = found._fetch()
    found.promote()
    return found.tried


def test_what_is_kept_is_asked_for_only_when_it_changed(server, tmp_path):
    found = source(server, tmp_path)
    assert found.good() is None
    first = fetched(found)
    assert (first["revision"], first["variables"], found.good()) == (SUM, {"node_network_boot": True}, SUM)
    (tmp_path / "work" / "good.json").write_text(json.dumps({**first, "variables": {"kept": True}}))
    assert fetched(source(server, tmp_path))["variables"] == {"kept": True}, "the server said that nothing has changed"
    (tmp_path / "served" / "n1.yml").write_bytes(b"node_network_boot: false\n")
    assert fetched(source(server, tmp_path))["variables"] == {"node_network_boot": False}
    assert (tmp_path / "work" / "good.json").stat().st_mode & 0o777 == 0o600
    elsewhere = source(server, tmp_path, url=f"{server.url}/moved/n1.yml")
    assert elsewhere.good() is None, "what came from elsewhere is not in force"
    for damaged in ("{", "[1]", json.dumps({"url": found.config.url}), json.dumps({**first, "variables": None}), "[" * 100_000):
        (tmp_path / "work" / "good.json").write_text(damaged)
        assert source(server, tmp_path).good() is None


@pytest.mark.parametrize("sums", [f"{SUM}\n", f"{SUM}  n1.yml\n", f"{'0' * 64}  n2.yml\n{SUM} *nodes/n1.yml\n", f"{SUM.upper()}  n1.yml"])
def test_checksums_that_fit(server, tmp_path, sums):
    (tmp_path / "served" / "sums").write_text(sums)
    assert fetched(source(server, tmp_path, checksum_url=f"{server.url}/files/sums"))["revision"] == SUM


@pytest.mark.parametrize(
    "more, stage, message",
    [
        ({"url": "{}/files/none.yml"}, "fetch", "{}/files/none.yml: HTTP 404 Not Found"),
        ({"url": "{}/cut/n1.yml"}, "fetch", "{}/cut/n1.yml: the connection ended after 12 of 24 bytes"),
        ({"url": "{}/endless"}, "fetch", "{}/endless: it is larger than 1 MB"),
        ({"url": "https://me:hidden@127.0.0.1:1/n1.yml?token=hidden"}, "fetch", "https://127.0.0.1:1/n1.yml: Connection refused"),
        ({"ca": None}, "fetch", "{}/files/n1.yml: CERTIFICATE_VERIFY_FAILED"),
        ({"ca": "/none"}, "fetch", "{}/files/n1.yml: the certificates cannot be used: No such file or directory"),
        ({"client_certificate": "/none"}, "fetch", "{}/files/n1.yml: the certificates cannot be used: No such file or directory"),
        ({"checksum_url": "{}/files/wrong"}, "fetch", f"{{}}/files/n1.yml: its SHA-256 is {SUM[:12]}… instead of {'0' * 12}…"),
        ({"checksum_url": "{}/files/other"}, "fetch", "{}/files/n1.yml: n1.yml is not named in {}/files/other"),
        ({"checksum_url": "{}/files/none"}, "fetch", "{}/files/n1.yml: its checksum in {}/files/none: HTTP 404 Not Found"),
        ({"url": "{}/files/other"}, "document", "{}/files/other: is no mapping (expected variables node_network_*)"),
    ],
)
def test_what_is_not_fetched_is_told_and_not_applied(server, tmp_path, more, stage, message):
    (tmp_path / "served" / "wrong").write_text(f"{'0' * 64}  n1.yml\n")
    (tmp_path / "served" / "other").write_text(f"{SUM}  n2.yml\n{SUM}  n3.yml\n")
    url = server.url
    outcome = source(server, tmp_path, **{name: value and value.replace("{}", url) for name, value in more.items()}).attempt()
    assert (outcome.stage, outcome.message.startswith(message.replace("{}", url))) == (stage, True), outcome.message
    assert (outcome.revision is not None) == (stage == "document" or "SHA-256" in message or "is not named" in message), "what was refused is told"
    assert "hidden" not in outcome.message
