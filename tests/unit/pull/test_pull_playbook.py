# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program of Ansible that hangs, or says nothing of use, comes to. The program is a script that does so."""

from __future__ import annotations

import json
import time

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.plugin_utils._pull import main, playbook
from ansible_collections.kubenode.network.plugins.plugin_utils._pull.config import Config

RECORD = 'echo \'{"failed": %s, "changed": true, "message": "x"}\' >>"$KUBENODE_PULL_RESULTS"\n'
FETCHED = "echo 'localhost | CHANGED => {'\n"


def run(tmp_path, script, program="ansible-pull", timeout=20.0):
    (tmp_path / "work").mkdir()
    (tmp_path / program).write_text(f"#!/bin/sh\n{script}")
    (tmp_path / program).chmod(0o755)
    found = Config(source="git", url="/x", host="n1", bin_dir=str(tmp_path), python="/none", state_dir=str(tmp_path), timeout=timeout)
    return playbook.run(found, [program])


@pytest.mark.parametrize(
    "script, changed, stage, message",
    [
        (RECORD % "false", True, None, None),
        (RECORD % "false" + RECORD % "true" + "exit 2", True, "apply", "x"),
        (RECORD % "false" + "exit 2", True, "apply", "ansible-pull ended with status 2"),
        (RECORD % "false" + 'printf \'{"failed": fa\' >>"$KUBENODE_PULL_RESULTS"; exit 2', True, "apply", "ansible-pull ended with status 2"),
        ("exit 0", False, "fetch", "ansible-pull ended with status 0"),
        ('echo \'    "msg": "no repository",\'; exit 2', False, "fetch", "no repository"),
        (FETCHED + "echo '[ERROR]: no hosts to target'; exit 1", False, "document", "no hosts to target"),
        (FETCHED + "echo 'ERROR! no hosts to target' >&2; exit 1", False, "document", "no hosts to target"),
    ],
)
def test_how_it_ends(tmp_path, script, changed, stage, message):
    assert run(tmp_path, script) == (None, changed, stage, message)


def test_what_hangs_is_ended_with_all_that_it_started(tmp_path):
    """And may put back first what it did."""
    script = FETCHED + f"(trap 'sleep 0.2; echo >{tmp_path}/back; exit' TERM; sleep 90 & wait) & trap '' TERM; wait; exit 1"
    started = time.monotonic()
    assert run(tmp_path, script, timeout=1.0) == (None, False, "document", "it took longer than 1 s")
    assert (tmp_path / "back").exists() and time.monotonic() - started < 15


def test_what_is_not_there(tmp_path):
    (tmp_path / "work").mkdir()
    found = Config(source="git", url="/x", host="n1", bin_dir="/none", python="/none", state_dir=str(tmp_path), timeout=9)
    with pytest.raises(NodeError, match=r"^/none/ansible-pull cannot be run: No such file or directory$"):
        playbook.run(found, ["ansible-pull"])


@pytest.mark.parametrize("before", ["[]", '{"failures": "x", "last_success": [1]}', "[" * 100_000, '{"failures": true'])
def test_a_status_that_was_damaged_is_written_anew(tmp_path, before):
    (tmp_path / "status.json").write_text(before)
    settings = Config(source="http", url="https://127.0.0.1:1/x", host="n1", bin_dir="/none", python="/none", state_dir=str(tmp_path), timeout=9)
    (tmp_path / "work").mkdir()
    assert main._tick(settings) == main.UNREACHABLE
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["failures"], status["last_success"], status["stage"]) == (1, None, "fetch")
