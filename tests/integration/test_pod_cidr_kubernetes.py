# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pod_cidr with source=kubernetes: runs of ansible-playbook on this machine, against a real HTTPS server (testbed/kube_api.py)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from ansible_collections.kubenode.network.plugins.modules import pod_cidr
from ansible_collections.kubenode.network.plugins.plugin_utils._site import options
from testbed.ansible import play_env, play_of
from testbed.authority import Authority
from testbed.kube_api import KubeApi
from testbed.space import clean_env

TOKEN = "hunter2.of-the-admin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder, "ca")


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("api", "127.0.0.1")


@pytest.fixture
def api(authority, pair):
    with KubeApi(pair, authority.certificate) as made:
        made.tokens[TOKEN] = "robot"
        made.put("node-1", ["10.244.1.0/24", "fd00:10:244:1::/64"], ["192.0.2.11", "2001:db8::11"])
        made.put("node-2", ["10.244.2.0/24", "fd00:10:244:2::/64"], ["192.0.2.12", "2001:db8::12"])
        yield made


@pytest.fixture
def kubeconfig(api, folder):
    """Beside the playbook, with the token in it."""
    document = {
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": api.url, "certificate-authority": "ca.crt"}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder / "admin.conf").write_text(yaml.safe_dump(document))
    return "admin.conf"


@pytest.fixture
def run(folder):
    """Runs the module once for each set of options, in one play; returns the results. What has a token in it is shown nowhere."""

    def run(*tasks, args=(), env=None):
        given = [{"kubenode.network.pod_cidr": {"source": "kubernetes", "timeout": 0, "nodes": ["node-1", "node-2"], **options}, "ignore_errors": True,
                  "run_once": True} for options in tasks]
        (folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": given}]))
        # Nobody is asked there: the hosts need not exist.
        (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": {"node-1": {"ansible_host": "192.0.2.11"}, "node-2": {}}}}))
        (folder / "ansible.cfg").write_text("[defaults]\n")
        (folder / "results").write_text("")
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "inventory.json"), str(folder / "play.yml"), *args]
        plain = {name: value for name, value in clean_env(play_env(str(folder))).items() if not name.lower().endswith("_proxy")}
        done = subprocess.run(argv, env={**plain, **(env or {})}, text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120)
        play = play_of(done, (folder / "results").read_text())
        assert play.rc == 0, play.stdout + play.stderr
        assert TOKEN not in play.stdout + play.stderr
        assert not (folder / "pod-cidrs.json").exists(), "the API is the one that remembers"
        results = [task["result"] for task in play.tasks]
        assert len(results) == len(tasks)
        assert not any(result.get("changed") for result in results)
        return results

    return run


def texts(results):
    assert not any("nodes" in result for result in results), results
    return [result["msg"] for result in results]


def test_the_whole_result(api, kubeconfig, run):
    options = {"kubeconfig": kubeconfig, "service_cidrs": ["10.96.0.0/12", "fd00:10:96::/112"]}
    (result,) = run(options)
    assert result["nodes"] == {
        f"node-{number}": {
            "pod_cidrs": [f"10.244.{number}.0/24", f"fd00:10:244:{number}::/64"],
            "gateways": [f"10.244.{number}.1", f"fd00:10:244:{number}::1"],
            "ranges": [{"start": f"10.244.{number}.2", "end": f"10.244.{number}.254"},
                       {"start": f"fd00:10:244:{number}::2", "end": f"fd00:10:244:{number}:ffff:ffff:ffff:ffff"}],
        }
        for number in (1, 2)
    }  # fmt: skip
    assert result["peers"] == {
        f"node-{number}": {"pod_cidrs": [f"10.244.{number}.0/24", f"fd00:10:244:{number}::/64"], "addresses": [f"192.0.2.1{number}", f"2001:db8::1{number}"]}
        for number in (1, 2)
    }
    assert (result["usage"], result["store"], result.get("warnings", [])) == ({}, None, [])
    assert [user for user, _path, _query in api.requests] == ["robot"]
    assert run(options, args=["--check", "--diff"]) == [result]


def test_the_example_in_the_documentation(api, kubeconfig, run):
    examples = [task["kubenode.network.pod_cidr"] for task in yaml.safe_load(pod_cidr.EXAMPLES)]
    (example,) = (options for options in examples if options.get("source") == "kubernetes")
    assert list(run(example)[0]["nodes"]) == example["nodes"]


def test_addresses_that_are_named_come_first(kubeconfig, run):
    (result,) = run({"kubeconfig": kubeconfig, "addresses": {"node-2": ["198.51.100.2"]}})
    assert {name: peer["addresses"] for name, peer in result["peers"].items()} == {"node-1": ["192.0.2.11", "2001:db8::11"], "node-2": ["198.51.100.2"]}


def test_usage_counts_all_nodes_of_the_api(api, kubeconfig, run):
    api.put("control-plane", ["10.244.0.0/24", "fd00:10:244::/64"])
    api.put("without")
    api.put("elsewhere", ["10.9.0.0/24"])
    api.put("clash-1", ["10.244.7.0/24"])
    api.put("clash-2", ["10.244.7.0/24"])
    cluster = [{"cidr": "10.244.0.0/21"}, {"cidr": "fd00:10:244::/56"}]
    (result,) = run({"kubeconfig": kubeconfig, "cluster_cidrs": cluster})
    assert list(result["nodes"]) == ["node-1", "node-2"]
    assert result["usage"] == {"10.244.0.0/21": {"used": 3, "total": 8, "left": 5}, "fd00:10:244::/56": {"used": 3, "total": 256, "left": 253}}


def test_nodes_that_need_not_have_joined(api, kubeconfig, run):
    api.put("node-3", None, ["192.0.2.13"])
    nodes = ["node-4", "node-1", "node-3", "node-2"]
    (result,) = run({"kubeconfig": kubeconfig, "nodes": nodes, "optional": ["node-2", "node-3", "node-4"], "timeout": 30})
    assert list(result["nodes"]) == list(result["peers"]) == ["node-1", "node-2"]
    (warning,) = result["warnings"]
    assert warning.startswith("node-3, node-4: no pod CIDR in the API yet")
    refused = run(
        {"kubeconfig": kubeconfig, "nodes": nodes, "optional": ["node-4"]},
        {"kubeconfig": kubeconfig, "nodes": nodes, "optional": [*nodes]},
        {"kubeconfig": kubeconfig, "nodes": nodes, "optional": ["node-1", "node-5"]},
        {"source": "static", "pod_cidrs": {"node-1": ["10.244.1.0/24"]}, "nodes": ["node-1"], "optional": ["node-1"]},
    )
    missing, everything, stranger, elsewhere = texts(refused)
    assert missing.startswith("nodes[2]: 'node-3' has no pod CIDR in ")
    assert everything == f"optional: {nodes!r} leaves no node to wait for (expected some of nodes, not all)"
    assert stranger == "optional[1]: 'node-5' is not in nodes (expected one of them)"
    assert elsewhere == "optional: ['node-1'] has no use with source=static (expected source=kubernetes, which waits for the others)"


def test_a_node_that_gets_its_cidrs_late(api, kubeconfig, run):
    api.put("node-3", None, ["192.0.2.13"])
    api.after(1, api.put, "node-3", ["10.244.3.0/24"], ["192.0.2.13"])
    (result,) = run({"kubeconfig": kubeconfig, "nodes": ["node-3"], "timeout": 100})
    assert result["peers"] == {"node-3": {"pod_cidrs": ["10.244.3.0/24"], "addresses": ["192.0.2.13"]}}


def test_what_is_refused_whoever_decided(api, kubeconfig, run):
    api.put("turned", ["fd00:10:244:3::/64", "10.244.3.0/24"])
    api.put("same", ["10.244.1.0/24"])
    api.put("single", ["10.244.7.0/24"])
    api.put("odd", ["10.244.9.1/24"])
    api.put("here", ["10.244.8.0/24"], ["10.244.8.7"])
    dual = [{"cidr": "10.244.0.0/16"}, {"cidr": "fd00:10:244::/56"}]
    refused = [
        ({"service_cidrs": ["10.244.0.0/20"]}, "service_cidrs[0]: '10.244.0.0/20' overlaps pod_cidrs.node-1 10.244.1.0/24 "),
        ({"reserved_cidrs": ["10.244.2.0/25"]}, "pod_cidrs.node-2[0]: '10.244.2.0/24' overlaps 10.244.2.0/25 of reserved_cidrs"),
        ({"cluster_cidrs": [{"cidr": "10.9.0.0/16"}]}, "pod_cidrs.node-1[0]: '10.244.1.0/24' is not inside"),
        ({"cluster_cidrs": dual[::-1]}, "pod_cidrs.node-1: ['10.244.1.0/24', 'fd00:10:244:1::/64'] has another order of families than cluster_cidrs"),
        ({"nodes": ["node-1", "turned"]}, "pod_cidrs.turned: ['fd00:10:244:3::/64', '10.244.3.0/24'] has another order of families"),
        ({"nodes": ["node-1", "same"]}, "pod_cidrs.same: '10.244.1.0/24' is given to node-1 and to same"),
        ({"nodes": ["same"], "cluster_cidrs": dual[:1]}, "pod_cidrs.same: '10.244.1.0/24' is given to node-1 and to same"),
        ({"nodes": ["odd"]}, "pod_cidrs.odd[0]: '10.244.9.1/24' has host bits set (expected 10.244.9.0/24)"),
        ({"nodes": ["single"], "cluster_cidrs": dual}, "pod_cidrs.single: has no IPv6 CIDR (expected one of each family)"),
        ({"nodes": ["here"]}, "addresses.here: '10.244.8.7' is inside pod_cidrs.here 10.244.8.0/24"),
    ]
    for text, (_given, expected) in zip(texts(run(*({"kubeconfig": kubeconfig, **given} for given, _text in refused))), refused):
        assert text.startswith(expected), text


def test_other_clusters_in_a_store_are_looked_at_and_left_alone(folder, kubeconfig, run):
    path = folder / "others.json"
    blue = {"source": "static", "cluster": "blue", "store": "others.json", "nodes": ["b"], "pod_cidrs": {"b": ["10.244.2.0/25"]}}
    written = subprocess.run(
        [sys.executable, "-m", "ansible", "adhoc", "-i", "localhost,", "localhost", "-m", "kubenode.network.pod_cidr",
         "-a", json.dumps({**blue, "store": str(path)})],
        env=clean_env(play_env(str(folder))), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert written.returncode == 0, written.stdout + written.stderr
    before = path.read_bytes()
    clash, alone = run({"kubeconfig": kubeconfig, "store": "others.json"}, {"kubeconfig": kubeconfig, "store": "others.json", "nodes": ["node-1"]})
    assert "'10.244.2.0/25' of b of cluster blue overlaps '10.244.2.0/24' of node-2" in clash["msg"]
    assert alone["store"] == str(path) and list(alone["nodes"]) == ["node-1"]
    assert path.read_bytes() == before


def test_variables_of_the_environment(api, authority, kubeconfig, folder, run):
    user = authority.issue("user")
    variables = {
        "K8S_AUTH_HOST": api.url, "K8S_AUTH_SSL_CA_CERT": str(authority.certificate), "K8S_AUTH_CERT_FILE": str(user.certificate),
        "K8S_AUTH_KEY_FILE": str(user.key),
    }  # fmt: skip
    assert run({}, env=variables)[0]["nodes"]
    assert api.requests[-1][0] == "user"
    assert run({}, env={"K8S_AUTH_HOST": api.url, "K8S_AUTH_VERIFY_SSL": "no", "K8S_AUTH_API_KEY": TOKEN})[0]["nodes"]
    assert api.requests[-1][0] == "robot"
    path = str(folder / kubeconfig)
    assert "context: 'there' is not in " in texts(run({}, env={"K8S_AUTH_KUBECONFIG": path, "K8S_AUTH_CONTEXT": "there", "KUBECONFIG": "/none"}))[0]
    found, unset = run({}, {"kubeconfig": "", "context": ""}, env={"KUBECONFIG": f"/none:{path}"})
    assert found["nodes"] and unset["nodes"]


def test_a_token_is_shown_nowhere(api, run):
    for token in (TOKEN, f"{TOKEN}.but-no-more"):
        (result,) = run({"host": api.url, "api_key": token, "validate_certs": False}, args=["-vvvv", "--diff"])
        assert ("HTTP 401 Unauthorized" in result["msg"]) if token != TOKEN else result["nodes"]


# For every option of this source alone, what is wrong with it and said before the API is asked.
GOOD = {"host": "{url}", "api_key": TOKEN, "ca_cert": "ca.crt"}
BAD = {
    "kubeconfig": ({"kubeconfig": "none.conf"}, "kubeconfig: '{folder}/none.conf' is not there on the controller (expected a kubeconfig"),
    "context": ({"context": "there", "kubeconfig": "admin.conf"}, "context: 'there' is not in '{folder}/admin.conf' (expected here)"),
    "host": ({"host": "127.0.0.1:6443"}, "host: '127.0.0.1:6443' is not the URL of an API (expected e.g. https://192.0.2.1:6443)"),
    "api_key": ({"api_key": "two words"}, "api_key: is empty, or has spaces or control characters in it (expected a token alone)"),
    "ca_cert": ({"ca_cert": "api.key"}, "ca_cert: '{folder}/api.key' has no certificate of an authority in it (expected PEM)"),
    "client_cert": ({"client_cert": "none.crt"}, "client_cert: '{folder}/none.crt' cannot be read on the controller: No such file or directory"),
    "client_key": ({"client_key": "api.key"}, "client_key: '{folder}/api.key' has no use without client_cert (expected both)"),
    "validate_certs": ({"validate_certs": "perhaps"}, "argument 'validate_certs' is of type"),
    "timeout": ({"timeout": -1}, "timeout: -1 is below zero (expected seconds, e.g. 60)"),
}


def test_every_option_of_this_source_has_a_bad_value():
    assert set(BAD) == set(options.OF_KUBERNETES)


def test_bad_input_is_refused_before_the_api_is_asked(api, kubeconfig, folder, run):
    good = {**GOOD, "host": api.url}
    several = {"timeout": -1, "nodes": ["Node"], "pod_cidrs": {"node-1": ["10.244.1.0/24"]}, "service_cidrs": ["x"]}
    *found, all_at_once = texts(run(*({**good, **change} for change, _text in BAD.values()), {**good, **several}))
    for text, (_change, expected) in zip(found, BAD.values()):
        assert expected.format(folder=folder) in text
    for start in ("nodes[0]: 'Node' is not", "service_cidrs[0]: 'x' is not", "timeout: -1", "pod_cidrs: {'node-1': ['10.244.1.0/24']} has no use with"):
        assert start in all_at_once
    assert not api.requests
