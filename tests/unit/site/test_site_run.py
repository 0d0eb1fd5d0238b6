# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the store: lost, damaged, merged, written by two at once, and by one that is killed."""

from __future__ import annotations

import os

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError
from ansible_collections.kubenode.network.plugins.plugin_utils._site import pod_cidr, store
from testbed.dying import killed_at

V4 = [{"cidr": "10.244.0.0/16"}]
HEAD = '{"kubenode_network_pod_cidrs": {"vars": {"schema": 1, "records": ['


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pod-cidrs.json"


def run(path, nodes, check=False, **more):
    options = {"source": "allocate", "cluster": "default", "cluster_cidrs": V4, "nodes": nodes, **more}
    return pod_cidr.run({name: value for name, value in options.items() if value is not None}, path and str(path), check)


def refusal(path, nodes, **more):
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(InputError) as caught:
        run(path, nodes, **more)
    assert (path.read_bytes() if path.exists() else None) == before
    return [str(problem) for problem in caught.value.problems]


def given(result):
    return {name: node["pod_cidrs"] for name, node in result["nodes"].items()}


def test_a_run_its_check_and_the_next_one(path):
    addresses = {"a": ["192.168.0.1"]}
    planned = run(path, ["a", "b"], check=True, addresses=addresses)
    assert not path.exists()
    done = run(path, ["a", "b"], addresses=addresses)
    assert planned == done
    assert done["changed"] and (done["diff"]["before"], done["diff"]["after"]) == ("", path.read_text())
    assert done["peers"] == {"a": {"pod_cidrs": ["10.244.0.0/24"], "addresses": ["192.168.0.1"]}, "b": {"pod_cidrs": ["10.244.1.0/24"], "addresses": []}}
    assert done["warnings"] == [f"{path} begins with cluster default anew; keep it with the inventory, or nodes change their pod CIDRs some day"]
    again = run(path, ["b", "a"], addresses=addresses)
    assert (again["changed"], again["warnings"], again["nodes"]) == (False, [], done["nodes"])
    assert "diff" not in again


def test_the_diff_has_the_lines_that_differ_alone(path):
    run(path, ["a", "b", "c"])
    diff = run(path, ["a", "c", "d"], check=True, remove=["b"])["diff"]
    assert diff["before"] == '{"cluster": "default", "node": "b", "cidrs": ["10.244.1.0/24"]},\n'
    assert diff["after"] == ('{"cluster": "default", "node": "d", "cidrs": ["10.244.3.0/24"]},\n'
                             '{"cluster": "default", "freed": "10.244.1.0/24", "when": 1},\n')  # fmt: skip


def test_a_folder_that_cannot_be_written_is_no_matter_without_a_change(path, monkeypatch):
    run(path, ["a"])
    monkeypatch.setattr(store, "locked", None)
    assert run(path, ["a"])["changed"] is False


def test_a_store_behind_a_link_stays_there(path, tmp_path):
    (tmp_path / "real").mkdir()
    path.symlink_to("real/store.json")
    run(path, ["a"])
    assert path.is_symlink() and "10.244.0.0/24" in (tmp_path / "real" / "store.json").read_text()


# Lost and damaged


def test_a_lost_store_is_not_begun_anew_when_nodes_have_something(path):
    reported = {"a": ["10.244.5.0/24"], "b": ["10.244.0.0/24"], "c": []}
    assert refusal(path, ["a", "b", "c"], reported=reported) == [
        (f"store: {path} is not there, but pod CIDRs are reported by a, b (expected the file, e.g. from version control; or rebuild: complete, which takes"
         " what the nodes have)")]  # fmt: skip
    found = run(path, ["a", "b", "c"], reported=reported, rebuild="complete")
    assert given(found) == {"a": ["10.244.5.0/24"], "b": ["10.244.0.0/24"], "c": ["10.244.1.0/24"]}
    assert found["warnings"] == [f"{path} is made from what was reported by a, b"]
    assert run(path, ["a", "b", "c"], reported=reported, rebuild="complete")["changed"] is False


def test_a_site_whose_nodes_have_nothing_is_new(path):
    found = run(path, ["a", "b"], reported={"a": [], "b": []})
    assert (given(found), found["warnings"]) == ({"a": ["10.244.0.0/24"], "b": ["10.244.1.0/24"]}, [])


@pytest.mark.parametrize("reported", [{"a": [], "b": None}, {"a": []}, {"a": [], "b": None, "c": None}])
@pytest.mark.parametrize("rebuild", [None, "never", "complete"])
def test_nodes_that_did_not_answer_are_named_and_nothing_is_given(path, reported, rebuild):
    nodes = sorted({"a", "b", *reported})
    silent = ", ".join(nodes[1:])
    assert refusal(path, nodes, reported=reported, rebuild=rebuild) == [
        (f"reported: {path} is not there, and there is no answer about pod CIDRs from {silent} (expected one from all; or rebuild: partial, which may give"
         " others what these have)")]  # fmt: skip
    found = run(path, nodes, reported=reported, rebuild="partial")
    assert found["warnings"] == [f"{path} does not have what these nodes may have, which did not answer: {silent}"]
    assert run(path, [*nodes, "z"], reported={**reported, "z": None})["nodes"]["z"], "what is known by now needs no answer"


def test_a_node_with_fixed_cidrs_need_not_answer(path):
    assert given(run(path, ["a", "b"], reported={"a": [], "b": None}, pod_cidrs={"b": ["10.244.9.0/24"]})) == {"a": ["10.244.0.0/24"], "b": ["10.244.9.0/24"]}


def test_many_names_are_cut_short(path):
    names = [f"n{number}" for number in range(30)]
    (text,) = refusal(path, names, reported={})
    assert "n18, n19 and 10 more (expected" in text


def test_a_rebuild_without_answers_is_refused(path):
    assert refusal(path, ["a"], rebuild="complete") == ["rebuild: 'complete' needs to know what the nodes have (expected reported with all of them)"]


@pytest.mark.parametrize("content", ["", HEAD, "<<<"])
def test_a_damaged_store_is_refused_and_rebuilt_only_if_that_is_asked_for(path, content, tmp_path):
    run(path, ["a", "b"])
    whole = path.read_text()
    path.write_text(content if content != "<<<" else whole.replace('{"cluster": "default", "node": "b"', '<<<<<<< HEAD\n{"cluster": "default", "node": "b"'))
    damaged = path.read_text()
    (text,) = refusal(path, ["a", "b", "c"])
    assert text.startswith(f"store: {path} is damaged: ") and "(expected the file as it was, from version control or a backup; or rebuild: complete" in text
    reported = {"a": ["10.244.7.0/24"], "b": [], "c": []}
    assert refusal(path, ["a", "b", "c"], reported=reported) == [text], "what nodes report changes nothing about that"
    planned = run(path, ["a", "b", "c"], check=True, reported=reported, rebuild="complete")
    assert path.read_text() == damaged
    found = run(path, ["a", "b", "c"], reported=reported, rebuild="complete")
    assert given(found) == given(planned) == {"a": ["10.244.7.0/24"], "b": ["10.244.0.0/24"], "c": ["10.244.1.0/24"]}
    (aside,) = [name for name in os.listdir(tmp_path) if name.startswith(".pod-cidrs.json.damaged-")]
    assert (tmp_path / aside).read_text() == damaged and aside in found["warnings"][0]


@pytest.mark.parametrize(("content", "reason"), [("[kube_node]\nnode-1\n", "is no store of pod CIDRs"), (HEAD.replace("1", "2"), "has schema 2")])
def test_what_is_not_ours_is_never_replaced(path, content, reason):
    path.write_text(content)
    for more in ({}, {"reported": {"a": []}, "rebuild": "partial"}):
        with pytest.raises(store.StoreError, match=reason):
            run(path, ["a"], **more)
    assert path.read_text() == content


# Branches, and runs at once


def test_two_branches_that_gave_one_block_to_two_nodes(path):
    """Git merges such files without a conflict; doing as the message says is enough."""
    run(path, ["n1", "n5"])
    run(path, ["n1", "n3", "n5"])
    theirs = '{"cluster": "default", "node": "n9", "cidrs": ["10.244.2.0/24"]},\n'
    path.write_text(path.read_text().replace('{"end"', theirs + '{"end"'))
    assert refusal(path, ["n1", "n3", "n5", "n9"]) == [
        (f"store: '10.244.2.0/24' is given to n3 and to n9 in {path}, as when two branches were merged (expected one node for each block: take the line of"
         " the node that came last out of the file, and run again, so that it gets another)")]  # fmt: skip
    path.write_text(path.read_text().replace(theirs, ""))
    assert given(run(path, ["n1", "n3", "n5", "n9"]))["n9"] == ["10.244.3.0/24"]


def test_another_run_came_first(path, monkeypatch):
    """Both have read the same file; the one that writes last reads again."""
    run(path, ["a"])
    real = store.locked

    def late(where):
        monkeypatch.setattr(store, "locked", real)
        run(path, ["a", "b"])
        return real(where)

    monkeypatch.setattr(store, "locked", late)
    assert given(run(path, ["a", "c"])) == {"a": ["10.244.0.0/24"], "c": ["10.244.2.0/24"]}
    assert '"node": "b", "cidrs": ["10.244.1.0/24"]' in path.read_text()


def test_a_run_that_is_killed_at_any_step_leaves_the_old_store_or_the_new_one(path, tmp_path):
    run(path, ["a", "b"])
    old, seen = path.read_bytes(), set()
    for step in range(100):
        path.write_bytes(old)
        killed = killed_at(step, store, lambda: run(path, ["a", "c"], remove=["b"]))
        seen.add(path.read_bytes())
        after = run(path, ["a", "c"], remove=["b"])
        assert given(after) == {"a": ["10.244.0.0/24"], "c": ["10.244.2.0/24"]}
        if not killed:
            break
    assert (killed, step > 10, len(seen), old in seen) == (False, True, 2, True)
    path.write_bytes(old)
    run(path, ["a", "c"], remove=["b"])
    assert os.listdir(tmp_path) == ["pod-cidrs.json"]


# Other sources


def test_static_cidrs_are_remembered_only_where_that_is_asked_for(path):
    static = {"source": "static", "cluster_cidrs": None, "pod_cidrs": {"a": ["10.244.1.0/24"]}}
    alone = run(None, ["a"], **static)
    assert (alone["changed"], alone["store"], given(alone), alone["usage"]) == (False, None, {"a": ["10.244.1.0/24"]}, {})
    assert run(path, ["a"], cluster="static", **static)["changed"]
    assert refusal(path, ["b"]) == [
        f"cluster_cidrs[0].cidr: '10.244.0.0/16' overlaps 10.244.1.0/24 of cluster static in {path} (expected a range of this cluster alone)"]  # fmt: skip


@pytest.mark.parametrize("name", ["", "Blue", "a b", "../x"])
def test_the_name_of_a_cluster(path, name):
    assert refusal(path, ["a"], cluster=name) == [
        f"cluster: {name!r} is not the name of a cluster (expected at most 253 lower case letters, digits, '-' and '.', e.g. blue)"]  # fmt: skip


def test_problems_of_the_options_and_of_the_store_are_told_together(path):
    path.write_text(HEAD)
    assert [text.partition(":")[0] for text in refusal(path, ["A"], cluster="B")] == ["cluster", "nodes[0]", "store"]
