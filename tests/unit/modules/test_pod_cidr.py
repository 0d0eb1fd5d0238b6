# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible_collections.kubenode.network.plugins.action.pod_cidr import ActionModule
from ansible_collections.kubenode.network.plugins.module_utils._addressing import pools
from ansible_collections.kubenode.network.plugins.modules import pod_cidr
from ansible_collections.kubenode.network.plugins.plugin_utils._site import options

RETURN = yaml.safe_load(pod_cidr.RETURN)
EXAMPLES = yaml.safe_load(pod_cidr.EXAMPLES)
DOCUMENTATION = yaml.safe_load(pod_cidr.DOCUMENTATION)
NAME = "kubenode.network.pod_cidr"
DUAL_STACK = EXAMPLES[1][NAME]
GOOD = {"cluster_cidrs": [{"cidr": "10.244.0.0/16"}], "nodes": ["a", "b"]}


@pytest.fixture
def run(tmp_path):
    def run(args, check=False, diff=True, variables=None):
        loader = DataLoader()
        loader.set_basedir(str(tmp_path))
        task = SimpleNamespace(args=args, check_mode=check, diff=diff, async_val=0, action=NAME, delegate_to=None)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
        action = ActionModule(task, connection, SimpleNamespace(check_mode=check), loader, None, None)
        try:
            return action.run(task_vars={"inventory_dir": str(tmp_path)} if variables is None else variables)
        except AnsibleActionFail as error:
            return {"failed": True, "msg": str(error)}

    return run


def test_the_documented_samples_are_what_the_second_example_returns(run, tmp_path):
    planned = run(DUAL_STACK, check=True)
    result = run(DUAL_STACK)
    assert planned == result and "diff" not in run(DUAL_STACK, diff=False)
    assert result["store"] == str(tmp_path / "pod-cidrs.json"), "beside the playbook"
    assert result["nodes"]["node-1"] == RETURN["nodes"]["sample"]["node-1"]
    assert result["usage"] == RETURN["usage"]["sample"]
    assert result["peers"] == RETURN["peers"]["sample"]
    assert set(result) - {"changed", "diff", "warnings"} == set(RETURN) - {"problems"}


def test_the_samples_of_single_values_are_those_of_the_whole():
    for option in ("nodes", "usage", "peers"):
        (described,) = RETURN[option]["contains"].values()
        sample = next(iter(RETURN[option]["sample"].values()))
        assert {name: value["sample"] for name, value in described["contains"].items()} == sample
    one = RETURN["nodes"]["contains"]["<name>"]["contains"]["ranges"]
    assert {name: value["sample"] for name, value in one["contains"].items()} == one["sample"][0]


def test_all_problems_come_at_once_as_text_and_as_data(run, tmp_path):
    result = run({"cluster_cidrs": [{"cidr": "10.244.0.0/33"}], "nodes": ["A", "b", "b"]})
    assert [problem["path"] for problem in result["problems"]] == ["cluster_cidrs[0].cidr", "nodes[0]", "nodes[2]"]
    assert result["problems"][0] == {name: value["sample"] for name, value in RETURN["problems"]["contains"].items()}
    assert result["msg"] == "; ".join(f"{problem['path']}: {problem['message']}" for problem in result["problems"])
    assert os.listdir(tmp_path) == []


STATIC = {"cluster_cidrs": None, "source": "static"}
#: option -> (what replaces the good options, what the message begins with)
BAD = {
    "source": [
        ({"source": "guess"}, "value of source must be one of: allocate, kubernetes, static"),
        ({"cluster_cidrs": None}, "cluster_cidrs: is required with source allocate"),
        ({**STATIC, "pod_cidrs": {"a": ["10.244.1.0/24"]}}, "pod_cidrs.b: has no CIDR (expected one of each family)"),
    ],
    "cluster": [({"cluster": "../x"}, "cluster: '../x' is not the name of a cluster")],
    "cluster_cidrs": [
        ({"cluster_cidrs": ["10.244.0.0/16"]}, "cluster_cidrs[0]: '10.244.0.0/16' is not a dictionary (expected e.g. {cidr: 10.244.0.0/16"),
        ({"cluster_cidrs": []}, "cluster_cidrs: [] names no cluster CIDR"),
        ({"cluster_cidrs": [{}]}, "missing required arguments: cidr found in cluster_cidrs"),
        ({"cluster_cidrs": [{"cidr": "10.244.0.0/16", "mask": 24}]}, "Unsupported parameters for"),
    ],
    "cluster_cidrs[].cidr": [({"cluster_cidrs": [{"cidr": "10.244.1.0/16"}]}, "cluster_cidrs[0].cidr: '10.244.1.0/16' has host bits set")],
    "cluster_cidrs[].node_mask_size": [({"cluster_cidrs": [{"cidr": "10.244.0.0/16", "node_mask_size": 8}]}, "cluster_cidrs[0].node_mask_size: 8 is shorter")],
    "nodes": [
        ({"nodes": None}, "missing required arguments: nodes"),
        ({"nodes": ["a", "a"]}, "nodes[1]: 'a' is given twice"),
        ({"cluster_cidrs": [{"cidr": "10.244.0.0/24"}]}, "cluster_cidrs[0].cidr: '10.244.0.0/24' has too few /24 blocks: 0/1 used, 1 left for 2 new nodes"),
    ],
    "optional": [({"optional": ["a"]}, "optional: ['a'] has no use with source=allocate (expected source=kubernetes")],
    "remove": [({"remove": ["a"]}, "remove: 'a' is in nodes as well"), ({"remove": ["A"]}, "remove[0]: 'A' is not a node name")],
    "store": [
        ({"store": "hosts"}, "/FOLDER/hosts is no store of pod CIDRs (expected another path"),
        ({"store": "."}, "/FOLDER is no file"),
        ({"store": "gone/store.json"}, "/FOLDER/gone/store.json cannot be locked: /FOLDER/gone/.store.json.lock: No such file or directory"),
    ],
    "service_cidrs": [({"service_cidrs": ["10.244.0.0/24"]}, "service_cidrs[0]: '10.244.0.0/24' overlaps cluster_cidrs[0].cidr 10.244.0.0/16")],
    "reserved_cidrs": [({"reserved_cidrs": ["10.244.0.0/16"]}, "reserved_cidrs[0]: '10.244.0.0/16' covers cluster_cidrs[0].cidr 10.244.0.0/16")],
    "addresses": [({"addresses": {"a": ["10.244.0.1"]}}, "addresses.a: '10.244.0.1' is inside cluster_cidrs[0].cidr 10.244.0.0/16")],
    "pod_cidrs": [({"pod_cidrs": {"a": ["10.0.0.0/24"]}}, "pod_cidrs.a[0]: '10.0.0.0/24' is not inside its cluster CIDR")],
    "reported": [
        ({"reported": {"a": ["10.0.0.0/24"], "b": []}, "rebuild": "complete"}, "reported.a[0]: '10.0.0.0/24' is not inside its cluster CIDR"),
        ({"reported": {"a": []}}, "reported: /FOLDER/pod-cidrs.json is not there, and there is no answer about pod CIDRs from b (expected one from all"),
    ],
    "rebuild": [({"rebuild": "yes"}, "value of rebuild must be one of: never, complete, partial"),
                ({"rebuild": "complete"}, "rebuild: 'complete' needs to know")],
}


@pytest.mark.parametrize(("change", "message"), [case for cases in BAD.values() for case in cases])
def test_a_bad_value_is_one_clear_message_and_nothing_is_written(run, tmp_path, change, message):
    (tmp_path / "hosts").write_text("a\nb\n")
    result = run({name: value for name, value in {**GOOD, **change}.items() if value is not None})
    assert result["failed"] and result["msg"].replace(str(tmp_path), "/FOLDER").startswith(message), result["msg"]
    assert len(result.get("problems", [1])) == 1
    assert os.listdir(tmp_path) == ["hosts"]


def test_every_option_has_a_bad_value():
    """Those of the source kubernetes have theirs in tests/integration/test_pod_cidr_kubernetes.py."""
    own = {name for name in options.ARGUMENT_SPEC if name not in options.OF_KUBERNETES}
    assert set(BAD) == own | {f"cluster_cidrs[].{name}" for name in options.ARGUMENT_SPEC["cluster_cidrs"]["options"]}


def test_the_good_options_are_taken(run):
    assert not run(GOOD).get("failed")


def test_the_store_has_to_be_named_where_there_is_no_inventory(run, tmp_path):
    for folder in (None, "None"):  # ansible-core makes a text of it
        nowhere = run(GOOD, variables={"ansible_inventory_sources": ["a,b,"], "inventory_dir": folder})
        assert nowhere["msg"].startswith("store: is required, since there is no inventory")
    (tmp_path / "first").mkdir()
    (tmp_path / "hosts").touch()
    for first, folder in ((str(tmp_path / "first"), tmp_path / "first"), (str(tmp_path / "hosts"), tmp_path)):
        variables = {"ansible_inventory_sources": ["a,b,", first, "/elsewhere"], "inventory_dir": "/elsewhere"}
        assert run(GOOD, check=True, variables=variables)["store"] == str(folder / "pod-cidrs.json")


def test_a_missing_netaddr_is_one_clear_message(run, monkeypatch):
    monkeypatch.setattr(pools, "NETADDR_ERROR", "Traceback\nModuleNotFoundError: No module named 'netaddr'\n")
    result = run(GOOD)
    start = f"Failed to import the required Python library (netaddr >= 0.8) for {sys.executable}: ModuleNotFoundError: No module"
    assert result["msg"].startswith(start)
    assert "problems" not in result


def test_documentation_and_argument_spec_agree():
    def shape(options, nested):
        return {
            name: (one["type"], one.get("elements"), one.get("required", False), one.get("default"), one.get("choices"), shape(one.get(nested, {}), nested))
            for name, one in options.items()
        }

    assert shape(DOCUMENTATION["options"], "suboptions") == shape(options.ARGUMENT_SPEC, "options")


# In plays


@pytest.fixture
def play(tmp_path):
    """Starts a play for nodes that must never be reached: nobody answers at their address."""
    (tmp_path / "hosts").write_text("[kube_node]\nnode-[8:12] ansible_host=192.0.2.1 ansible_connection=ssh\n")
    # A configuration of its own keeps out that of the person or folder that runs the tests.
    (tmp_path / "ansible.cfg").touch()

    def play(tasks, *args, name="play"):
        path = tmp_path / f"{name}.yml"
        path.write_text(yaml.safe_dump([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
        env = {**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / f"home-{name}"), "ANSIBLE_NOCOLOR": "1"}
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts"), str(path), *args]
        return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return play


def output(process):
    text, _none = process.communicate(timeout=120)
    assert process.returncode == 0, text
    return text


def stored(tmp_path, cluster="default"):
    records = json.loads((tmp_path / "pod-cidrs.json").read_text())["kubenode_network_pod_cidrs"]["vars"]["records"]
    return {record["node"]: record["cidrs"] for record in records if record.get("cluster") == cluster and "node" in record}


def test_the_examples_run_as_they_are(play, tmp_path):
    own = [task for task in EXAMPLES if task[NAME].get("source") != "kubernetes"]  # that one runs in tests/integration
    text = output(play(own, "--diff"))
    assert re.search(r"^node-8 +: ok=5 +changed=4 ", text, re.MULTILINE), text
    assert stored(tmp_path) == {f"node-{number}": [f"10.244.{number - 8}.0/24"] for number in range(8, 13)}
    assert stored(tmp_path, "blue") == {"node-1": ["10.248.7.0/25", "fd00:10:248:7::/64"]}
    assert '+{"cluster": "default", "node": "node-10", "cidrs": ["10.244.2.0/24"]},' in text
    assert json.loads((tmp_path / "rebuilt.json").read_text())


def test_a_limit_changes_nothing_and_each_host_gets_the_same(play, tmp_path):
    """Without run_once it runs once for each host, all at once."""
    task = {"name": "Allocate", NAME: {"cluster_cidrs": [{"cidr": "10.244.0.0/16"}], "nodes": "{{ groups['kube_node'] }}"}, "register": "site"}
    own = "site.nodes[inventory_hostname].pod_cidrs[0] == '10.244.' ~ (inventory_hostname[5:] | int - 8) ~ '.0/24'"
    check = {"name": "Check", "ansible.builtin.assert": {"that": [own]}}
    text = output(play([task], "--check", "--diff"))
    assert '+{"cluster": "default", "node": "node-12", "cidrs": ["10.244.4.0/24"]},' in text
    assert not (tmp_path / "pod-cidrs.json").exists()
    output(play([task, check], "--limit", "node-11:node-12"))
    before = (tmp_path / "pod-cidrs.json").read_bytes()
    text = output(play([task, check]))
    assert len(re.findall(r"(?m)^node-\d+ +: ok=2 +changed=0 ", text)) == 5
    assert (tmp_path / "pod-cidrs.json").read_bytes() == before
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".pod-cidrs")]


def test_runs_at_once_and_killed_runs_never_give_a_block_twice(play, tmp_path):
    """Six runs, each with nodes of its own; two are killed somewhere on their way."""
    runs = []
    for number in range(6):
        nodes = [f"run-{number}-{index}" for index in range(300)]
        task = {"name": "Allocate", NAME: {"cluster_cidrs": [{"cidr": "10.0.0.0/8"}], "nodes": nodes}, "run_once": True}
        runs.append(play([task], name=f"play-{number}"))
    time.sleep(1)
    for number, process in enumerate(runs):
        if number in (2, 4):
            process.send_signal(signal.SIGKILL)
            process.communicate()
        else:
            output(process)
    done = stored(tmp_path)
    assert len({cidr for cidrs in done.values() for cidr in cidrs}) == len(done)
    for number in range(6):
        count = sum(name.startswith(f"run-{number}-") for name in done)
        assert count in ((0, 300) if number in (2, 4) else (300,))
    nodes = {"nodes": ["new"], "cluster_cidrs": [{"cidr": "10.0.0.0/8"}]}
    output(play([{"name": "Allocate", NAME: nodes, "run_once": True}]))
    assert {name: stored(tmp_path)[name] for name in done} == done
