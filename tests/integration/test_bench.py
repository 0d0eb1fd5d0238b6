# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark runs, its tasks change nothing, and what it breaks is found. How fast that is is not judged here: see `make bench`."""

from __future__ import annotations

import json

import pytest
from bench import allocation, fleet, history, measure, routes, whole
from bench.figure import Figure, low
from bench.report import report
from testbed import Node


def test_the_benchmark_of_single_tasks_says_its_figures():
    figures = list(report(["validation", "tasks", "throughput"], times=1, pairs=1, seconds=0.1, hosts=[], nodes=0))
    assert [figure.what for figure in figures] == [
        "ansible.builtin.ping", "cni_config without a change", "node_network without a change", "cni_info without a change",
        "cni_info, cold without a change", "cni_config, cold without a change", "validation of a list of 5 plugins, in-process",
        "throughput pod to outside, ip4, ipMasq", "throughput pod to outside, ip4, our masquerade",
        "throughput pod to outside, ip6, ipMasq", "throughput pod to outside, ip6, our masquerade"]
    assert all(figure.value > 0 for figure in figures)


def test_the_benchmark_of_a_whole_node_says_its_figures():
    figures = {figure.what: figure for figure in whole.whole(2)}
    assert figures["broken before each run: not found"].value == 0
    measured = [name for name in figures if name != "broken before each run: not found"]
    assert len(measured) == 10
    assert all(figures[name].value > 0 for name in measured)
    assert figures["whole node without a change, memory"].met


def test_the_benchmark_of_allocation_says_its_figures(monkeypatch):
    monkeypatch.setattr(allocation, "GOALS", {20: 1.0, 100: 1.0})
    figures = list(report(["allocation"], times=1, pairs=0, seconds=0, hosts=[], nodes=0))
    assert [figure.what for figure in figures] == [
        "allocation for 20 nodes, dual stack", "allocation for one node more than 19", "allocation for 20 nodes, memory",
        "allocation for 100 nodes, dual stack", "allocation for one node more than 99", "allocation for 100 nodes, memory",
        "allocation for 100 nodes, seconds a node"]
    assert all(figure.value > 0 for figure in figures)


def test_the_benchmark_of_routes_says_its_figures():
    figures = [*routes.on_node(1, count=300), *routes.on_controller(1, count=300)]
    assert all(figure.value > 0 for figure in figures if "above ping" not in figure.what and "CPU" not in figure.what)
    assert [figure.value for figure in figures if figure.what.endswith("routes that change")] == [1, 1]


def test_the_benchmark_of_a_fleet_says_its_figures():
    figures = [*fleet.controller(1, counts=(10, 15)), *fleet.converge(6)]
    assert len(figures) == 13
    assert all(figure.met for figure in figures if figure.what.startswith(("6 real", "3 real")) and figure.goal is not None)


@pytest.fixture(scope="module")
def node():
    """As the benchmark has it: hashes and versions of its files are known by now."""
    with Node() as made:
        for _time in range(2):
            result = made.module("cni_plugins", whole.sections()["cni_plugins"])
            assert not result.get("failed"), result
            made.run(["sleep", "2.5"])
        yield made


OF_BINARIES = [damage for damage in whole.DAMAGES if "/opt/cni/bin/" in damage.resource]


@pytest.mark.parametrize("damage", OF_BINARIES, ids=["a byte of bandwidth", "a byte of vrf", "mode of bridge"])
def test_what_is_wrong_with_a_binary_is_found(node, damage):
    options = whole.sections()["cni_plugins"]
    assert not node.module("cni_plugins", options)["changed"]
    node.run(damage.argv)
    assert [change["resource"] for change in node.module("cni_plugins", options, check=True)["changes"]] == [damage.resource]
    assert node.module("cni_plugins", options)["changed"]


@pytest.mark.parametrize(("verify", "reads"), [(False, 0), (True, 32)])
def test_what_did_not_change_is_read_only_to_verify_it(node, tmp_path, verify, reads):
    """Each of the 16 binaries, at the source and where it is installed."""
    options = {**whole.sections()["cni_plugins"], "verify": verify}
    trace = tmp_path / "trace"
    node.run(["sleep", "2.5"])  # what others of these tests repaired is not counted on before
    node.module("cni_plugins", options)
    result = node.module("cni_plugins", options, prefix=("strace", "-f", "-y", "-e", "trace=read", "-o", str(trace)))
    assert not result["changed"]
    whole_files = {line.partition("<")[2].partition(">")[0] for line in trace.read_text().splitlines() if line.endswith("= 1048576")}
    assert len([path for path in whole_files if "/cni/" in path]) == reads


def test_check_mode_keeps_nothing_of_files(node):
    node.run(["rm", "/run/kubenode-network/files.json"])
    node.module("cni_plugins", whole.sections()["cni_plugins"], check=True)
    assert not node.exists("/run/kubenode-network/files.json")
    node.module("cni_plugins", whole.sections()["cni_plugins"])
    assert node.run(["stat", "-c", "%a", "/run/kubenode-network/files.json"]).stdout == "600\n"


def test_a_run_is_a_line_of_the_history(monkeypatch, tmp_path):
    monkeypatch.setattr(history, "PATH", tmp_path / "history.jsonl")
    for _time in range(2):
        history.add([Figure("a", low([3.0, 1.0, 2.0]), "x ping", 1.5)], load=0.5)
    lines = [json.loads(line) for line in history.PATH.read_text().splitlines()]
    assert [line["figures"] for line in lines] == [{"a": [1.0, "x ping"]}] * 2
    assert {"date", "commit", "kernel", "cpus", "load"} <= set(lines[0])


def test_a_network_is_validated_in_process():
    measure.validate()
