# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading nodes from a Kubernetes API: the real client against a real HTTPS server on this machine (testbed/kube_api.py)."""

from __future__ import annotations

import base64
import os
import socket
import sys
import threading
import time
import traceback

import kubernetes as library
import pytest
import yaml
from ansible import constants as C
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, KubenodeError, NodeError
from ansible_collections.kubenode.network.plugins.plugin_utils._site import kube_client, kubernetes
from testbed.authority import Authority
from testbed.kube_api import KubeApi

TOKEN = "hunter2.of-the-admin"
ONE = kubernetes.Node(["10.244.1.0/24", "fd00:10:244:1::/64"], ["192.0.2.11", "2001:db8::11"])


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("KUBE", "K8S_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(kubernetes, "PAUSES", (0.05, 0.2))
    C.DEFAULT_LOCAL_TMP  # noqa: B018 -- makes the folder
    before = set(os.listdir(C.DEFAULT_LOCAL_TMP))
    yield
    assert set(os.listdir(C.DEFAULT_LOCAL_TMP)) == before, "keys were left behind"


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def api(authority):
    with KubeApi(authority.issue("api", "127.0.0.1"), authority.certificate) as made:
        made.tokens[TOKEN] = "robot"
        made.put("node-1", *ONE)
        yield made


@pytest.fixture
def options(api, authority):
    return {"host": api.url, "api_key": TOKEN, "ca_cert": str(authority.certificate)}


@pytest.fixture
def kubeconfig(api, authority, tmp_path):
    """Writes a kubeconfig with one context, `here`, and changes in it; returns its path."""
    pair = authority.issue("admin")

    def inline(path):
        return base64.b64encode(path.read_bytes()).decode()

    def write(name="config", *, cluster=None, user=None, **top):
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": api.url, "certificate-authority-data": inline(authority.certificate), **(cluster or {})}}],
            "users": [{"name": "u", "user": user or {"client-certificate-data": inline(pair.certificate), "client-key-data": inline(pair.key)}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            **top,
        }
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({key: value for key, value in document.items() if value is not None}))
        return str(path)

    return write


def read(options, *names, timeout=0):
    wanted = names or ("node-1",)
    problems = kube_client.check(options)
    if problems:
        raise InputError(problems)
    found = kubernetes.read_nodes({name: index for index, name in enumerate(wanted)}, options, timeout)
    return {name: found[name] for name in wanted}


def message(options, *names, timeout=0, error=KubenodeError):
    """What is said of a failure; nothing that is shown of it, traceback included, may have a secret in it."""
    with pytest.raises(error) as caught:
        read(options, *names, timeout=timeout)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Who we are


def test_a_token(api, options):
    assert read(options) == {"node-1": ONE}
    assert [user for user, _path, _query in api.requests] == ["robot"]


@pytest.mark.parametrize("together", [False, True])
def test_a_client_certificate(api, options, authority, together):
    pair = authority.issue("admin")
    key = str(pair.key)
    if together:
        pair.certificate.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
        key = None
    assert read({**options, "api_key": None, "client_cert": str(pair.certificate), "client_key": key}) == {"node-1": ONE}
    assert api.requests[0][0] == "admin"


def test_a_kubeconfig_with_all_in_it(api, kubeconfig):
    assert read({"kubeconfig": kubeconfig()}) == {"node-1": ONE}
    assert api.requests[0][0] == "admin"


def test_a_kubeconfig_with_names_of_files_beside_it(api, authority, kubeconfig, tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    cluster = {"server": api.url, "certificate-authority": authority.certificate.name}
    path = kubeconfig(user={"tokenFile": "token"}, clusters=[{"name": "c", "cluster": cluster}])
    assert read({"kubeconfig": path}) == {"node-1": ONE}
    assert api.requests[0][0] == "robot"


def test_a_kubeconfig_that_asks_a_program(api, kubeconfig, tmp_path):
    script = tmp_path / "login"
    script.write_text(f"""#!/bin/sh
echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{"token": "{TOKEN}"}}}}'
""")
    script.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}
    assert read({"kubeconfig": kubeconfig(user=user)}) == {"node-1": ONE}
    assert api.requests[0][0] == "robot"
    script.write_text(f"#!/bin/sh\necho 'not {TOKEN}' >&2\nexit 3\n")
    assert "cannot be used, with context here: exec: process returned 3 (expected" in message({"kubeconfig": kubeconfig(user=user)})
    script.unlink()
    assert f"[Errno 2] No such file or directory: '{script}' (expected" in message({"kubeconfig": kubeconfig(user=user)})


def test_where_a_kubeconfig_is_looked_for(kubeconfig, monkeypatch, tmp_path):
    kubeconfig(".kube/config")
    assert read({}) == {"node-1": ONE}
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert message({}).startswith(f"kubeconfig: '{tmp_path}/none' is not there on the controller (expected a kubeconfig, e.g. a copy of")
    contexts = kubeconfig("contexts", clusters=None, users=None)
    others = kubeconfig("others", contexts=None, **{"current-context": "elsewhere"})
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{contexts}:{others}")
    assert read({}) == {"node-1": ONE}
    assert read({"kubeconfig": "~/.kube/config"}) == {"node-1": ONE}


def test_options_come_before_the_kubeconfig(api, authority, kubeconfig):
    elsewhere = kubeconfig(cluster={"server": "https://127.0.0.1:1"})
    assert read({"kubeconfig": elsewhere, "host": f"{api.url}/", "api_key": TOKEN}) == {"node-1": ONE}
    assert api.requests[-1][0] == "robot", "the certificate in the kubeconfig does not count any more"
    unknown = kubeconfig(user={"token": "unknown"}, clusters=[{"name": "c", "cluster": {"server": api.url, "insecure-skip-tls-verify": True}}])
    pair = authority.issue("operator")
    chosen = {"client_cert": str(pair.certificate), "client_key": str(pair.key), "ca_cert": str(authority.certificate), "validate_certs": True}
    assert read({"kubeconfig": unknown, **chosen}) == {"node-1": ONE}
    assert api.requests[-1][0] == "operator"


def test_all_is_said_by_options(options, monkeypatch, tmp_path):
    """A kubeconfig that happens to be broken has no say then, and what is empty is not set."""
    options |= dict.fromkeys(("kubeconfig", "context", "client_cert", "client_key"), "")
    (tmp_path / "broken").write_text("[")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "broken"))
    assert read(options) == {"node-1": ONE}


def test_a_context_is_chosen(api, kubeconfig):
    contexts = [{"name": name, "context": {"cluster": name, "user": "u"}} for name in ("there", "here")]
    clusters = [{"name": "there", "cluster": {"server": "https://127.0.0.1:1"}},
                {"name": "here", "cluster": {"server": api.url, "insecure-skip-tls-verify": True}}]
    path = kubeconfig(contexts=contexts, clusters=clusters, **{"current-context": "there"})
    assert read({"kubeconfig": path, "context": "here"}) == {"node-1": ONE}
    assert message({"kubeconfig": path}).startswith("https://127.0.0.1:1: Connection refused")
    assert message({"kubeconfig": path, "context": "Here"}) == f"context: 'Here' is not in '{path}' (expected one of there, here)"


# What a node has


def test_what_nodes_have(api, options):
    api.put("old", spec={"podCIDR": "10.244.2.0/24"})
    api.put("other", ["10.244.3.0/24"])
    api.put("not-wanted")
    assert kubernetes.read_nodes({"other": 0, "old": 1}, options, 0) == {
        "node-1": ONE,
        "not-wanted": kubernetes.Node([], []),
        "old": kubernetes.Node(["10.244.2.0/24"], []),
        "other": kubernetes.Node(["10.244.3.0/24"], []),
    }


def test_thousands_of_nodes_come_in_pages(api, options):
    names = [f"worker-{number}" for number in range(5000)]
    for number, name in enumerate(names):
        api.put(name, [f"10.{number // 256}.{number % 256}.0/24"], [f"172.16.{number // 250}.{number % 250 + 1}"])
    assert read(options, *names)["worker-4999"] == kubernetes.Node(["10.19.135.0/24"], ["172.16.19.250"])
    assert len(api.requests) == 11
    assert all(query["limit"] == "500" for _user, _path, query in api.requests)


# Waiting


def test_a_node_that_gets_its_cidrs_late(api, options):
    api.put("late", None, ["192.0.2.12"])
    api.after(0.5, api.put, "node-1", ["10.244.1.0/24"])
    api.after(1, api.put, "late", ["10.244.2.0/24"], ["192.0.2.12"])
    begin = time.monotonic()
    assert read(options, "late", "node-1", timeout=30)["late"] == kubernetes.Node(["10.244.2.0/24"], ["192.0.2.12"])
    assert 1 <= time.monotonic() - begin < 10
    # One watch for both, however many nodes there are.
    assert ["watch" in query for _user, _path, query in api.requests] == [False, True]


def test_a_node_that_joins_late_and_one_that_is_made_anew(api, options):
    api.put("again")
    api.after(0.3, api.remove, "again")
    api.after(0.5, api.put, "again", ["10.244.2.0/24"])
    api.after(0.7, api.put, "new", ["10.244.3.0/24"])
    assert [node.pod_cidrs for node in read(options, "new", "again", timeout=30).values()] == [["10.244.3.0/24"], ["10.244.2.0/24"]]


def test_nodes_that_stay_without(api, options):
    for number in range(12):
        api.put(f"late-{number}")
    names = ["node-1", "nod-1", *(f"late-{number}" for number in range(12))]
    text = message(options, *names, timeout=1, error=InputError)
    assert text.startswith(
        f"nodes[1]: 'nod-1' is no node of {api.url} (expected a name that kubectl get nodes shows, e.g. node-1); "
        f"nodes[2]: 'late-0' has no pod CIDR in {api.url} after 1 s (expected kube-controller-manager to run, "
        "with --allocate-node-cidrs=true and a --cluster-cidr that has room); nodes[3]: 'late-1' has"
    )
    assert text.endswith("; nodes: 3 more problems of this kind")


def test_thousands_of_wrong_names_are_said_soon(api, options):
    for number in range(5000):
        api.put(f"worker-{number}", ["10.244.0.0/24"])
    begin = time.monotonic()
    text = message(options, *(f"worker-{number}.example.org" for number in range(5000)), error=InputError)
    assert time.monotonic() - begin < 60
    assert "'worker-7.example.org' is no node of" in text and text.endswith("; nodes: 4990 more problems of this kind")


def test_a_cluster_without_nodes(api, options):
    api.remove("node-1")
    assert message(options) == f"nodes[0]: 'node-1' is no node of {api.url} (expected it to join, there is no node yet)"


def test_a_node_that_goes_while_we_wait(api, options):
    api.put("late")
    api.after(0.3, api.remove, "node-1")
    assert f"nodes[0]: 'node-1' is no node of {api.url}" in message(options, "node-1", "late", timeout=1)


# What passes


@pytest.mark.parametrize("faults", [[500], [429], [503, "cut"], [410], ["cut", "cut", 408]], ids=str)
def test_a_failure_that_passes(api, options, faults):
    api.retry_after = 0
    api.faults.extend(faults)
    assert read(options, timeout=30) == {"node-1": ONE}
    assert len(api.requests) == len(faults) + 1


@pytest.mark.parametrize("fault", ["cut", 500, 410, "expired"])
def test_a_watch_that_fails(api, options, fault):
    api.put("late")
    api.after(0.3, api.put, "late", ["10.244.2.0/24"])
    api.faults.extend([None, fault])
    assert read(options, "late", timeout=30)["late"].pod_cidrs == ["10.244.2.0/24"]


def test_a_watch_from_a_version_that_is_gone(api, options):
    api.oldest = 1000
    api.put("late")
    api.after(0.5, api.put, "late", ["10.244.2.0/24"])
    assert read(options, "late", timeout=30)["late"].pod_cidrs == ["10.244.2.0/24"]


def test_the_api_says_when_to_come_again(api, options):
    api.faults.append(429)
    begin = time.monotonic()
    assert read(options, timeout=30) == {"node-1": ONE}
    assert time.monotonic() - begin >= 1


def test_an_api_that_starts_late(authority, options):
    pair = authority.issue("late-api", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = threading.Event()

    def serve():
        time.sleep(1)
        with KubeApi(pair, port=port) as api:
            api.tokens[TOKEN] = "robot"
            api.put("node-1", *ONE)
            done.wait(30)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert read({**options, "host": f"https://127.0.0.1:{port}"}, timeout=30) == {"node-1": ONE}
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("timeout", [0, 1])
def test_an_api_that_stays_ill(api, options, timeout):
    api.faults.extend([500] * 100)
    begin = time.monotonic()
    assert message(options, timeout=timeout) == f"{api.url}: HTTP 500 InternalError (expected the Kubernetes API to be well)"
    assert timeout <= time.monotonic() - begin < 20
    assert len(api.requests) > 3 * timeout


def test_an_api_that_never_answers(options, monkeypatch):
    monkeypatch.setattr(kubernetes, "SILENCE", (0.3, 0.3))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        assert message({**options, "host": url}) == f"{url}: it does not answer in time (expected the Kubernetes API to answer)"


# What does not pass: said at once, whatever the timeout


def final(options, *names):
    begin = time.monotonic()
    text = message(options, *names, timeout=200)
    assert time.monotonic() - begin < 20
    return text


def test_an_unknown_token(api, options):
    assert final({**options, "api_key": "unknown"}) == (
        f"{api.url}: HTTP 401 Unauthorized (expected a token or client certificate that the API knows and that has not expired)"
    )


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_user_who_may_not(api, options, verb):
    api.forbidden.add(("robot", verb))
    assert final(options, "late") == (
        f'{api.url}: HTTP 403 Forbidden: nodes is forbidden: User "robot" cannot {verb} resource "nodes" in API group "" at the cluster scope '
        f"(expected permission to {verb} nodes: a ClusterRole with the verbs list and watch on the resource nodes)"
    )


def test_another_server(api, options):
    assert final({**options, "host": f"{api.url}/elsewhere"}) == f"{api.url}/elsewhere: HTTP 404 NotFound (expected the Kubernetes API there)"


def test_a_certificate_of_nobody(api, options):
    text = final({**options, "ca_cert": None})
    assert text.startswith(f"{api.url}: its certificate is of no authority that is known here: ")
    assert text.endswith(" (expected ca_cert, or certificate-authority in the kubeconfig, to be the authority of that cluster)")
    assert read({**options, "ca_cert": None, "validate_certs": False}) == {"node-1": ONE}


def test_a_certificate_for_another_name(api, options):
    url = f"https://localhost:{api.port}"
    assert final({**options, "host": url}) == (
        f"{url}: its certificate is for another name: Hostname mismatch, certificate is not valid for 'localhost' "
        "(expected host, or server in the kubeconfig, to be a name in the certificate)"
    )


def test_a_certificate_for_another_address(authority, options):
    with KubeApi(authority.issue("elsewhere", "192.0.2.1")) as api:
        assert final({**options, "host": api.url}) == (
            f"{api.url}: its certificate is for another address: IP address mismatch, certificate is not valid for '127.0.0.1' "
            "(expected host, or server in the kubeconfig, to be an address in the certificate)"
        )


def test_a_certificate_that_has_expired(authority, options):
    with KubeApi(authority.issue("aged", "127.0.0.1", days=-1)) as api:
        text = final({**options, "host": api.url})
        assert text.startswith(f"{api.url}: its certificate has expired: certificate has expired (expected it to be renewed")


def test_a_client_certificate_that_has_expired(api, options, authority):
    """Here the server ends TLS; kube-apiserver answers 401."""
    pair = authority.issue("admin", days=-1)
    text = final({**options, "api_key": None, "client_cert": str(pair.certificate), "client_key": str(pair.key)})
    assert text.startswith(f"{api.url}: the API ended TLS: ") and text.endswith(" (expected a client certificate that it accepts)")


def test_no_tls_there(options):
    with KubeApi() as api:
        url = api.url.replace("http:", "https:")
        assert final({**options, "host": url}).startswith(f"{url}: TLS failed: ")
        api.tokens[TOKEN] = "robot"
        api.put("node-1", *ONE)
        assert read({**options, "host": api.url}) == {"node-1": ONE}


def test_a_name_that_nobody_has(options):
    text = final({**options, "host": "https://me:hidden@nowhere.invalid:6443/"})
    assert text.startswith("https://nowhere.invalid:6443: ") and text.endswith(" (expected a name that this machine can resolve)")
    assert "hidden" not in text


# Options and kubeconfigs that are wrong


@pytest.mark.parametrize(
    "change, text",
    [
        ({"host": "192.0.2.1:6443"}, "host: '192.0.2.1:6443' is not the URL of an API (expected e.g. https://192.0.2.1:6443)"),
        ({"host": "https://"}, "host: 'https://' is not the URL of an API"),
        ({"api_key": f"Bearer {TOKEN}"}, "api_key: is empty, or has spaces or control characters in it (expected a token alone)"),
        ({"api_key": ""}, "api_key: is empty, or has spaces"),
        ({"ca_cert": "/none"}, "ca_cert: '/none' cannot be read on the controller: No such file or directory (expected a PEM file)"),
        ({"client_key": "/none"}, "client_key: '/none' has no use without client_cert (expected both); client_key: '/none' cannot be read"),
        ({"ca_cert": "{api.key}"}, "ca_cert: '{api.key}' has no certificate of an authority in it (expected PEM)"),
        ({"client_cert": "{api.crt}"}, "client_cert: '{api.crt}' and its key '{api.crt}' cannot be used: "),
        ({"client_cert": "{kubernetes.crt}", "client_key": "{api.key}"}, "cannot be used: KEY_VALUES_MISMATCH (expected PEM, the key of that certificate"),
        ({"host": "x", "ca_cert": "/none"}, "host: 'x' is not the URL of an API (expected e.g. https://192.0.2.1:6443); ca_cert: '/none' cannot be read"),
    ],
)
def test_options_that_are_wrong(api, options, tmp_path, change, text):
    for name in ("api.key", "api.crt", "kubernetes.crt"):
        change = {option: value.replace(f"{{{name}}}", f"{tmp_path}/{name}") for option, value in change.items()}
        text = text.replace(f"{{{name}}}", f"{tmp_path}/{name}")
    assert text in message({**options, **change}, error=InputError)
    assert not api.requests


@pytest.mark.parametrize(
    "content, text",
    [
        (f"token: {TOKEN}\n- {TOKEN}", "kubeconfig: '{}' is not YAML, see line 2 (expected a kubeconfig as kubectl reads it)"),
        ("\x00", "kubeconfig: '{}' is not YAML (expected"),
        (b"\xff\xfe\xfd", "kubeconfig: '{}' is not YAML (expected"),
        (TOKEN, "kubeconfig: '{}' is not a kubeconfig (expected"),
        ("", "kubeconfig: '{}' is not a kubeconfig (expected"),
        ("contexts: 7", "kubeconfig: '{}' is not a kubeconfig (expected"),
        ("contexts: []", "context: is missing, and '{}' has no current-context (expected one, but it has none)"),
        ("contexts: [{name: a}]", "context: is missing, and '{}' has no current-context (expected a)"),
        ("contexts: [{name: a}, {name: b}]", "context: is missing, and '{}' has no current-context (expected one of a, b)"),
        ("current-context: x", "context: 'x', the current-context, is not in '{}' (expected one, but it has none)"),
    ],
)
def test_kubeconfigs_that_are_none(tmp_path, content, text):
    path = tmp_path / "config"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert message({"kubeconfig": str(path), "context": "", "host": "", "ca_cert": ""}, error=InputError).startswith(text.format(path))


def test_a_kubeconfig_that_cannot_be_read(tmp_path):
    assert message({"kubeconfig": str(tmp_path)}) == (
        f"kubeconfig: '{tmp_path}' cannot be read: Is a directory (expected a kubeconfig as kubectl reads it)"
    )


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"users": [{"name": "u", "token": TOKEN}]}, "Expected key user (expected"),
        ({"clusters": [{"name": "x", "cluster": {"server": TOKEN}}]}, "Expected object with name c (expected"),
        ({"clusters": [{"name": "c", "server": TOKEN}]}, "Expected key cluster (expected"),
        ({"users": [{"user": {"token": TOKEN}}]}, "its parts do not fit together (expected"),
        ({"users": [TOKEN]}, "its parts do not fit together (expected"),
        ({"users": [7]}, "its parts are not of the right type (TypeError) (expected"),
        ({"user": {"client-certificate": "none.crt", "client-key": "none.key"}}, "File does not exist: {}/none.crt (expected"),
        ({"user": {"tokenFile": "none"}}, "No such file or directory: {}/none (expected"),
        ({"user": {"client-certificate-data": f"{TOKEN}=", "client-key-data": "x"}}, "its parts are not of the right type (Error) (expected"),
    ],
)
def test_kubeconfigs_whose_parts_do_not_fit(kubeconfig, tmp_path, change, reason):
    path = kubeconfig(**change)
    assert message({"kubeconfig": path}, error=InputError).startswith(
        f"kubeconfig: '{path}' cannot be used, with context here: {reason.format(tmp_path)}"
    )


def test_a_kubeconfig_with_a_damaged_certificate(kubeconfig):
    damaged = base64.b64encode(b"damaged").decode()
    assert "has no certificate of an authority in it" in message({"kubeconfig": kubeconfig(cluster={"certificate-authority-data": damaged})})
    text = message({"kubeconfig": kubeconfig(user={"client-certificate-data": damaged, "client-key-data": damaged})})
    assert text.startswith("kubeconfig: ") and "cannot be used: " in text


def test_a_token_that_cannot_be_sent(kubeconfig):
    """The client says so with the token in its text."""
    assert "its answer is no list of nodes" in message({"kubeconfig": kubeconfig(user={"token": f"{TOKEN}\n{TOKEN}"})})


# The library


def test_a_library_that_is_not_there(options, monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    text = message(options, error=NodeError)
    where = f"on the controller, in the Python that runs Ansible there, {sys.executable}: ModuleNotFoundError: "
    assert text.startswith(f"source=kubernetes needs the Python library kubernetes >= 22.6 {where}")
    assert text.endswith(f"(expected it to be installed with '{sys.executable} -m pip install \"kubernetes >= 22.6\"', or as python3-kubernetes)")


def test_a_library_that_is_too_old(options, monkeypatch):
    monkeypatch.setattr(library, "__version__", "12.0.1")
    assert ": found 12.0.1 (expected" in message(options, error=NodeError)


def test_the_environment_stays_as_it_is(options):
    import tempfile

    before = tempfile.tempdir
    read(options)
    assert tempfile.tempdir == before
    assert kube_client.library().client.Configuration._default is None
