# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.kubenode.network.plugins.module_utils._addressing import allocate as code
from ansible_collections.kubenode.network.plugins.modules import pod_cidr

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # ansible-core before 2.17.7 and 2.18.1

    @contextlib.contextmanager
    def patch_module_args(args):
        before = basic._ANSIBLE_ARGS
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode()
        try:
            yield
        finally:
            basic._ANSIBLE_ARGS = before


RETURN = yaml.safe_load(pod_cidr.RETURN)
EXAMPLES = yaml.safe_load(pod_cidr.EXAMPLES)
DOCUMENTATION = yaml.safe_load(pod_cidr.DOCUMENTATION)
DUAL_STACK = EXAMPLES[1]["kubenode.network.pod_cidr"]


@pytest.fixture
def run(capsys):
    def run(args):
        with patch_module_args(args), pytest.raises(SystemExit) as caught:
            pod_cidr.main()
        result = json.loads(capsys.readouterr().out)
        assert bool(caught.value.code) == result.get("failed", False)
        return result

    return run


@pytest.mark.parametrize("check", [False, True])
def test_the_documented_samples_are_what_the_second_example_returns(run, check):
    result = run({**DUAL_STACK, "_ansible_check_mode": check, "_ansible_diff": True})
    assert result["changed"] is False
    assert "diff" not in result
    assert result["allocations"] == RETURN["allocations"]["sample"]
    assert result["nodes"]["node-1"] == RETURN["nodes"]["sample"]["node-1"]
    assert result["usage"] == RETURN["usage"]["sample"]
    assert set(result) - {"invocation", "changed"} == set(RETURN) - {"problems"}


def test_the_samples_of_single_values_are_those_of_the_whole():
    for option in ("nodes", "usage"):
        (described,) = RETURN[option]["contains"].values()
        sample = next(iter(RETURN[option]["sample"].values()))
        assert {name: value["sample"] for name, value in described["contains"].items()} == sample
    one = RETURN["nodes"]["contains"]["<name>"]["contains"]["ranges"]
    assert {name: value["sample"] for name, value in one["contains"].items()} == one["sample"][0]


def test_the_result_of_one_run_is_the_input_of_the_next(run):
    first = run(DUAL_STACK)
    again = run({**DUAL_STACK, "allocations": first["allocations"]})
    assert {**again, "invocation": None} == {**first, "invocation": None}


def test_options_that_are_left_out_have_their_defaults(run):
    result = run({"cluster_cidrs": [{"cidr": "10.244.0.0/16"}], "nodes": ["a"]})
    assert result["nodes"] == {
        "a": {"pod_cidrs": ["10.244.0.0/24"], "gateways": ["10.244.0.1"], "ranges": [{"start": "10.244.0.2", "end": "10.244.0.254"}]}
    }


def test_all_problems_come_at_once_as_text_and_as_data(run):
    result = run({"cluster_cidrs": [{"cidr": "10.244.0.0/33"}], "nodes": ["A", "b", "b"]})
    assert [problem["path"] for problem in result["problems"]] == ["cluster_cidrs[0].cidr", "nodes[0]", "nodes[2]"]
    assert result["problems"][0] == {name: value["sample"] for name, value in RETURN["problems"]["contains"].items()}
    assert result["msg"] == "; ".join(f"{problem['path']}: {problem['message']}" for problem in result["problems"])


# For every option, one bad input that only it can be blamed for.
BAD = {
    "cluster_cidrs": ([], "cluster_cidrs: [] names no cluster CIDR"),
    "cluster_cidrs[].cidr": ([{"cidr": "10.244.1.0/16"}], "cluster_cidrs[0].cidr: '10.244.1.0/16' has host bits set"),
    "cluster_cidrs[].node_mask_size": ([{"cidr": "10.244.0.0/16", "node_mask_size": 8}], "cluster_cidrs[0].node_mask_size: 8 is shorter"),
    "nodes": (["a", "a"], "nodes[1]: 'a' is given twice"),
    "allocations": ({"a": ["10.0.0.0/24"]}, "allocations.a[0]: '10.0.0.0/24' is not inside its cluster CIDR"),
    "service_cidrs": (["10.244.0.0/24"], "service_cidrs[0]: '10.244.0.0/24' overlaps cluster_cidrs[0].cidr 10.244.0.0/16"),
    "reserved_cidrs": (["10.244.0.0/16"], "reserved_cidrs[0]: '10.244.0.0/16' covers cluster_cidrs[0].cidr 10.244.0.0/16"),
}


@pytest.mark.parametrize("option", BAD)
def test_a_bad_value_is_one_problem_of_its_option(run, option):
    value, message = BAD[option]
    result = run({"cluster_cidrs": [{"cidr": "10.244.0.0/16"}], "nodes": ["a"], option.partition("[")[0]: value})
    assert result["msg"].startswith(message)
    assert len(result["problems"]) == 1


def test_every_option_has_a_bad_value():
    options = set(pod_cidr.ARGUMENT_SPEC) | {f"cluster_cidrs[].{name}" for name in pod_cidr.ARGUMENT_SPEC["cluster_cidrs"]["options"]}
    assert set(BAD) == options


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"nodes": ["a"]}, "missing required arguments: cluster_cidrs"),
        ({"cluster_cidrs": [{"cidr": "10.244.0.0/16"}]}, "missing required arguments: nodes"),
        ({"cluster_cidrs": [{}], "nodes": ["a"]}, "missing required arguments: cidr found in cluster_cidrs"),
        ({"cluster_cidrs": [{"cidr": "10.244.0.0/16", "mask": 24}], "nodes": ["a"]}, "cluster_cidrs.mask"),
    ],
)
def test_ansible_refuses_what_the_argument_spec_excludes(run, args, message):
    assert message in run(args)["msg"]


def test_a_missing_netaddr_is_one_clear_message(run, monkeypatch):
    monkeypatch.setattr(code, "NETADDR_ERROR", "Traceback\nModuleNotFoundError: No module named 'netaddr'\n")
    result = run(EXAMPLES[0]["kubenode.network.pod_cidr"])
    start = f"Failed to import the required Python library (netaddr >= 0.8) for {sys.executable}: ModuleNotFoundError: No module"
    assert result["msg"].startswith(start)
    assert "problems" not in result


def test_documentation_and_argument_spec_agree():
    def shape(options, nested):
        return {
            name: (one["type"], one.get("elements"), one.get("required", False), one.get("default"), shape(one.get(nested, {}), nested))
            for name, one in options.items()
        }

    assert shape(DOCUMENTATION["options"], "suboptions") == shape(pod_cidr.ARGUMENT_SPEC, "options")


@pytest.fixture
def play(tmp_path):
    def play(tasks, *args):
        (tmp_path / "play.yml").write_text(yaml.safe_dump([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
        # The hosts of the play must never be reached: pod_cidr runs on the controller.
        (tmp_path / "hosts").write_text("[kube_node]\nnode-10 ansible_connection=none\nnode-9 ansible_connection=none\n")
        # A configuration of its own keeps out that of the person or folder that runs the tests.
        (tmp_path / "ansible.cfg").touch()
        env = {**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path), "ANSIBLE_NOCOLOR": "1"}
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts"), str(tmp_path / "play.yml"), *args]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return play


def test_the_examples_run_as_they_are(play, tmp_path):
    copy = {"content": "{{ site | to_json }}", "dest": "{{ playbook_dir }}/{{ item }}.json", "mode": "0644"}
    tell = {"name": "Tell", "ansible.builtin.copy": copy, "delegate_to": "localhost", "run_once": True}
    told = [{**tell, "loop": [f"example-{number}"]} for number in range(3)]
    play([task for pair in zip(EXAMPLES, told) for task in pair])
    first, second, third = (json.loads((tmp_path / f"example-{number}.json").read_text()) for number in range(3))
    assert first["allocations"] == {"node-1": ["10.244.0.0/24"], "node-2": ["10.244.1.0/24"], "node-3": ["10.244.2.0/24"]}
    assert second["allocations"] == RETURN["allocations"]["sample"]
    assert third["allocations"] == {"node-9": ["10.244.0.0/24"], "node-10": ["10.244.1.0/24"]}
    assert json.loads((tmp_path / "pod-cidrs.json").read_text()) == third["allocations"]
    assert [one["changed"] for one in (first, second, third)] == [False, False, False]


def test_the_file_of_the_third_example_remembers(play, tmp_path):
    remembered = {"gone": ["10.244.0.0/24"], "node-10": ["10.244.7.0/24"]}
    (tmp_path / "pod-cidrs.json").write_text(json.dumps(remembered))
    assert re.search(r"^node-10 +: ok=2 +changed=1 ", play([EXAMPLES[2]]), re.MULTILINE)
    assert json.loads((tmp_path / "pod-cidrs.json").read_text()) == {**remembered, "node-9": ["10.244.1.0/24"]}
    for arg in ("--check", "--diff"):
        assert re.search(r"^node-10 +: ok=2 +changed=0 ", play([EXAMPLES[2]], arg), re.MULTILINE)
