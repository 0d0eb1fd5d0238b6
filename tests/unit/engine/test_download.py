# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Downloads from a real server on this machine, which does everything wrong that a server can."""

from __future__ import annotations

import hashlib
import re

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import download
from ansible_collections.kubenode.network.plugins.module_utils._sections import plugin_source
from testbed import web

CONTENT = bytes(range(256)) * 20_000
LIMIT = 6_000_000


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "x.tgz").write_bytes(CONTENT)
    with web.Server(tmp_path / "served", silence=0.5) as made:
        yield made


def fetch(url, tmp_path, algorithm="sha256"):
    return download.fetch(url, str(tmp_path / "got"), algorithm, limit=LIMIT)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("path", ["files/x.tgz", "moved/x.tgz", "files/x.tgz?token=a#part"])
def test_what_comes_is_written_and_hashed(server, tmp_path, path, algorithm):
    assert fetch(f"{server.url}/{path}", tmp_path, algorithm) == hashlib.new(algorithm, CONTENT).hexdigest()
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_text(server, tmp_path):
    (tmp_path / "served" / "sums").write_bytes(b"abc  d\xff\n")
    assert download.fetch_text(f"{server.url}/files/sums", limit=100) == "abc  d\ufffd\n"


@pytest.mark.parametrize(
    "path, reason",
    [
        ("files/none.tgz", "HTTP 404 Not Found"),
        ("secret/x.tgz", "HTTP 401 Unauthorized"),
        ("cut/x.tgz", f"the connection ended after {len(CONTENT) // 2} of {len(CONTENT)} bytes"),
        ("circle", "HTTP 302, a redirect that leads in a circle or to no web address"),
        ("local", "HTTP 302, a redirect that leads in a circle or to no web address"),
        ("endless", "it is larger than 6 MB"),
    ],
)
def test_what_can_go_wrong_is_told_in_one_line(server, tmp_path, path, reason):
    with pytest.raises(NodeError) as error:
        fetch(f"{server.url}/{path}", tmp_path)
    assert str(error.value) == reason


@pytest.mark.parametrize("to", ["http://me:hidden@127.0.0.1:1", "http://127.0.0.1:hidden", "http://hidden host", "http://hid\xfcden"])
def test_where_a_redirect_leads_is_not_told(server, tmp_path, to):
    server.moved_to = to
    with pytest.raises(NodeError) as error:
        fetch(f"{server.url}/moved/x.tgz", tmp_path)
    assert not re.search("hid|den", str(error.value))


def test_a_silent_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SILENCE", 0.2)
    with pytest.raises(NodeError, match=r"^nothing came for 0 s$"):
        fetch(f"{server.url}/silent", tmp_path)


def test_a_slow_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "WHOLE", -1.0)
    with pytest.raises(NodeError, match=r"^it took longer than -1 s$"):
        fetch(f"{server.url}/files/x.tgz", tmp_path)


def test_a_header_that_never_ends(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "WHOLE", 0.6)
    with pytest.raises(NodeError, match=r"^it took longer than 1 s$"):
        fetch(f"{server.url}/drop/x.tgz", tmp_path)


def test_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(NodeError, match=r"^Connection refused$"):
        fetch("http://127.0.0.1:1/x.tgz", tmp_path)


def test_a_user_is_told_to_that_server_alone(server, tmp_path):
    user = "reader:s3cret%2Fword@"
    assert fetch(server.url.replace("//", f"//{user}") + "/secret/x.tgz", tmp_path) == hashlib.sha256(CONTENT).hexdigest()
    (tmp_path / "got").unlink()
    fetch(server.url.replace("//", f"//{user}") + "/moved/x.tgz", tmp_path)
    asked = dict(line.split(" ", 1) for line in server.requests)
    assert asked["/moved/x.tgz"].startswith("Basic ")
    assert asked["/files/x.tgz"] == "-"


def test_proxies_are_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    with pytest.raises(NodeError, match="HTTP 404"):
        fetch("http://mirror.invalid/x.tgz", tmp_path)
    assert server.requests == ["http://mirror.invalid/x.tgz -"]


def test_a_certificate_that_nobody_vouches_for(server, tmp_path, monkeypatch):
    certificate = web.make_certificate(tmp_path / "key.pem", "127.0.0.1")
    with web.Server(tmp_path / "served", certificate=certificate) as secure:
        with pytest.raises(NodeError, match="CERTIFICATE_VERIFY_FAILED") as error:
            fetch(f"{secure.url}/files/x.tgz", tmp_path)
        assert "\n" not in str(error.value)
        (tmp_path / "got").unlink()
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        assert fetch(f"{secure.url}/files/x.tgz", tmp_path) == hashlib.sha256(CONTENT).hexdigest()


def test_no_redirect_from_https_to_http(server, tmp_path, monkeypatch):
    certificate = web.make_certificate(tmp_path / "key.pem", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    with web.Server(tmp_path / "served", certificate=certificate) as secure:
        secure.moved_to = server.url
        with pytest.raises(NodeError, match=r"^it redirects from https to http$"):
            fetch(f"{secure.url}/moved/x.tgz", tmp_path)


@pytest.mark.parametrize(
    "url, text",
    [
        ("https://me:secret@mirror.example/a/x.tgz?token=t#f", "https://mirror.example/a/x.tgz"),
        ("http://mirror.example:8080/x%20y.tgz", "http://mirror.example:8080/x%20y.tgz"),
    ],
)
def test_what_is_secret_is_not_shown(url, text):
    assert plugin_source.shown(url) == text
