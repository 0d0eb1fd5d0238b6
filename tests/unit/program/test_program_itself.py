# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program as a file, and what it prints."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import subprocess
import sys
import zipfile

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._converge import Change
from ansible_collections.kubenode.network.plugins.module_utils._program import main, parts, show
from ansible_collections.kubenode.network.plugins.module_utils._program.parts import Look, Thing
from ansible_collections.kubenode.network.plugins.module_utils._resource import Resource
from ansible_collections.kubenode.network.plugins.plugin_utils import _program

PLAIN = show.Paint(is_terminal=False)


@pytest.fixture
def other_library(monkeypatch):
    """Has the controller's pyroute2 be of another version, or none."""
    _program.build.cache_clear()
    yield lambda version: monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution(version))
    _program.build.cache_clear()


class Distribution:
    def __init__(self, version):
        self.version = version

    def read_text(self, name):
        return f"Name: pyroute2\nVersion: {self.version}\n" if name == "METADATA" else None


# The file


def names(program):
    with zipfile.ZipFile(io.BytesIO(program.data)) as file:
        return file.namelist(), {entry.date_time for entry in file.infolist()}


def test_the_same_files_give_the_same_bytes():
    first = _program.build()
    _program.build.cache_clear()
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    script = f"import sys; sys.path[:0] = {sys.path!r}; from {_program.__name__} import build; print(build().sha256)"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment).stdout
    assert _program.build().sha256 == first.sha256 == other.strip()
    there, times = names(first)
    assert (there, times) == (sorted(there), {(1980, 1, 1, 0, 0, 0)})


def test_it_holds_the_engine_and_the_library():
    there, _times = names(_program.build())
    assert {"__main__.py", "kubenode_network/_converge.py", "kubenode_network/_program/main.py", "pyroute2/__init__.py"} <= set(there)
    assert not [name for name in there if not name.endswith((".py", "/METADATA"))]
    assert _program.build().warning is None


@pytest.mark.parametrize("version", ["0.7.1", "0.5.14", "0.6"])
def test_a_library_that_is_too_old_is_not_sent(other_library, version):
    other_library(version)
    program = _program.build()
    assert not [name for name in names(program)[0] if name.startswith("pyroute2")]
    assert program.warning.startswith(f"the controller's pyroute2 {version} is too old, so the program uses the node's own; install pyroute2 0.7.2 or newer")


def test_the_oldest_library_that_will_do(other_library):
    other_library("0.7.2")
    assert "pyroute2-0.7.2.dist-info/METADATA" in names(_program.build())[0]


def test_without_a_library_a_warning_says_what_to_install(monkeypatch):
    _program.build.cache_clear()
    monkeypatch.setattr(_program.importlib.util, "find_spec", lambda name: None)
    program = _program.build()
    _program.build.cache_clear()
    assert program.warning.startswith("the controller has no pyroute2, so the program uses the node's own; install pyroute2 0.7.2 or newer for the Python")


# What it prints


class Plain(Resource):
    id = "thing:a"


def look(section="kubenet_bridge", instance="cbr0", **fields):
    return Look(section, instance, **fields)


def things(*states):
    return [Thing(f"thing:{index}", state, "created") for index, state in enumerate(states)]


@pytest.mark.parametrize("states, state, code", [
    ([], "ok", 0),
    (["ok", "ok"], "ok", 0),
    (["ok", "waiting"], "waiting", 3),
    (["waiting", "drift"], "drift", 3),
    (["missing", "drift", "ok"], "missing", 3),
])  # fmt: skip
def test_a_part_is_as_bad_as_the_worst_in_it(states, state, code):
    found = look(things=things(*states))
    assert (found.state, main.exit_code([look(), found])) == (state, code)
    assert main.exit_code([found, look(problems=["x: is wrong"])]) == 1


@pytest.fixture
def terminal(monkeypatch):
    """One with colours, wherever the tests run."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_columns_are_aligned_with_colours_and_without(terminal):
    rows = [("a", "ok", ""), ("longer", "missing", "why"), ("b", "drift", "x")]
    assert show.table(rows, PLAIN) == "a       ok\nlonger  missing  why\nb       drift    x\n"
    coloured = show.table(rows, show.Paint(is_terminal=True))
    assert "longer  \x1b[31mmissing\x1b[0m  why\n" in coloured and "b       \x1b[33mdrift\x1b[0m    x\n" in coloured


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_may_be_without_colours(terminal, monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert show.Paint(is_terminal=True)("ok", "ok") == "ok"


@pytest.mark.parametrize("now, wanted, text", [
    ({"mtu": 1400, "up": True}, {"mtu": 1450, "up": True}, "mtu 1400 instead of 1450"),
    ({"rules": ["a"], "x": None}, {"rules": ["a", "b", "c", "d"], "x": 1}, "rules without 3 items, x None instead of 1"),
    ({"addresses": ["a", "b", "x"]}, {"addresses": ["a", "b", "c"]}, "addresses with [x] and without [c]"),
    ({"rules": ["b", "a"]}, {"rules": ["a", "b"]}, "rules doubled or in another order"),
    ("0", "1", "0 instead of 1"),
    (None, {"mtu": 1}, ""),
    ({"sha256": "a" * 64}, {"sha256": "b" * 64}, "sha256 aaaaaaaaaaaa… instead of bbbbbbbbbbbb…"),
])  # fmt: skip
def test_a_difference_in_a_line(now, wanted, text):
    assert parts.difference(now, wanted) == text


def test_a_diff_ends_each_line_and_is_not_empty_for_titles_alone(terminal):
    items = [{"before_header": "a (mode 0644)", "after_header": "a (mode 0600)", "before": "same\n", "after": "same\n"},
             {"before_header": "b", "after_header": "b", "before": "0", "after": "1"}]  # fmt: skip
    text = show.diff([look(diff=items)], PLAIN)
    assert text == "--- a (mode 0644)\n+++ a (mode 0600)\n--- b\n+++ b\n@@ -1 +1 @@\n-0\n+1\n"
    assert "\x1b[31m-0\x1b[0m\n\x1b[32m+1\x1b[0m\n" in show.diff([look(diff=items)], show.Paint(is_terminal=True))


def test_what_was_applied_and_what_would_be():
    changes = [Change(Plain(), 1, 2)]
    waiting = Thing("sysctl:a", "waiting", "adopted", "for link eth0")
    looks = [look("x", "1", changes=changes), look("x", "2", things=[waiting]), look("x", "3"), look("x", "4", problems=["p: 1 is wrong"])]
    done = show.applied(looks, PLAIN, check=False)
    assert done == "x/1  changed  1 change\nx/2  waiting  waiting: sysctl:a for link eth0\nx/3  ok\nx/4  failed\n\nx/4: failed: p: 1 is wrong\n"
    assert show.applied(looks[:1], PLAIN, check=True) == "x/1  drift  1 change needed\n"


def test_a_warning_says_once_whose_it_is():
    assert show.remarks([look("masquerade", "node", warnings=["masquerade: one", "two"])], PLAIN) == "\nmasquerade/node: one\nmasquerade/node: two\n"


def test_data_is_json():
    found = look(things=things("drift"), changes=[Change(Plain(), 1, 2)], choices={"mtu": (1450, 1400)}, warnings=["w"])
    data = json.loads(json.dumps(show.as_data(parts.Report([found], ["a note"]))))
    assert (data["state"], data["notes"]) == ("drift", ["a note"])
    assert data["parts"][0] == {
        "section": "kubenet_bridge", "instance": "cbr0", "state": "drift", "problems": [], "warnings": ["w"], "diff": [],
        "objects": [{"id": "thing:0", "state": "drift", "origin": "created", "note": ""}],
        "changes": [{"resource": "thing:a", "before": 1, "after": 2}], "choices": {"mtu": {"now": 1450, "auto": 1400}},
    }  # fmt: skip


def test_an_error_of_our_own_is_one_part_s_alone():
    def work(found, section, run):
        raise KeyError("values")

    ended = []
    run = parts.Run(None)
    run.cleanups.append(lambda: ended.append(True))
    found = parts._guarded(work, parts.SECTIONS[0], "node", run)
    assert (found.problems, found.state, ended) == (["KeyError: 'values'"], "failed", [True])
