# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the modules' documentation runs as it stands: planned, done, and done again without a change."""

from __future__ import annotations

import hashlib
import importlib
import subprocess

import pytest
import yaml
from testbed import Node

MODULES = ("cni_plugins", "cni_config", "portmap", "bandwidth", "kubenet_bridge", "masquerade", "sysctl_bridge_nf", "node_network")
#: The archive that the examples take from the play's files, and the checksum file beside it.
ARCHIVE = "cni-plugins-linux-amd64-v1.9.1.tgz"


def examples(module):
    found = importlib.import_module(f"ansible_collections.kubenode.network.plugins.modules.{module}")
    return yaml.safe_load(found.EXAMPLES)


@pytest.fixture(scope="module")
def play_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    (folder / "files").mkdir()
    archive = folder / "files" / ARCHIVE
    subprocess.run(["tar", "-C", "/usr/lib/cni", "-czf", str(archive), "."], check=True)
    (folder / "files" / f"{ARCHIVE}.sha256").write_text(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {ARCHIVE}\n")
    return folder


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(play_folder, module):
    tasks = examples(module)
    assert tasks
    with Node() as node:
        if module not in ("cni_plugins", "node_network"):
            node.install_plugins()
        changed = []
        for task in tasks:
            play = [{"hosts": "all", "gather_facts": False, "tasks": [{**task, "check_mode": True}, task, task]}]
            (play_folder / "play.yml").write_text(yaml.safe_dump(play))
            run = node.playbook(play_folder / "play.yml")
            assert run.rc == 0, f"{task['name']}\n{run.stdout}{run.stderr}"
            announced, done, again = (entry["result"] for entry in run.tasks)
            assert announced.get("changes") == done.get("changes"), task["name"]
            assert again["changed"] is False, task["name"]
            changed.append(done["changed"])
        assert changed[0], "the first example changes a bare node"
