# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the modules' documentation runs as it stands: planned, done, and done again without a change."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys

import pytest
import yaml
from testbed import Node, web
from testbed.paths import HERE

MODULES = ("cni_plugins", "cni_config", "portmap", "bandwidth", "kubenet_bridge", "masquerade", "sysctl_bridge_nf", "pod_routes", "boot_service",
           "node_network")
#: The mirror that the examples name; a server in the node takes its place.
MIRROR = "mirror.example.com"
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
    web.make_certificate(folder / "mirror.pem", MIRROR)
    return folder


def start_mirror(node, folder):
    """Serves the files under the mirror's name, with a certificate that a play knows by the variable that is returned."""
    node.write("/etc/hosts", f"127.0.0.1 localhost {MIRROR}\n")
    script = [sys.executable, str(HERE / "web.py"), str(folder / "files"), "443", "/run/asked", str(folder / "mirror.pem")]
    server = node.popen(script, stdout=subprocess.PIPE)
    assert server.stdout.readline() == "ready\n"
    return server, {"SSL_CERT_FILE": str(folder / "mirror.pem.crt"), "no_proxy": "*"}


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(play_folder, module):
    tasks = examples(module)
    assert tasks
    with Node() as node:
        mirror, env = start_mirror(node, play_folder)
        if module not in ("cni_plugins", "node_network"):
            node.install_plugins()
        # One playbook: a start of ansible-playbook costs as much as two tasks.
        play = [{"hosts": "all", "gather_facts": False, "tasks": [each for task in tasks for each in ({**task, "check_mode": True}, task, task)]}]
        (play_folder / "play.yml").write_text(yaml.safe_dump(play))
        run = node.playbook(play_folder / "play.yml", env=env)
        assert run.rc == 0, f"{run.stdout}{run.stderr}"
        results = [entry["result"] for entry in run.tasks]
        assert len(results) == 3 * len(tasks)
        for task, announced, done, again in zip(tasks, results[::3], results[1::3], results[2::3]):
            assert announced.get("changes") == done.get("changes"), task["name"]
            assert again["changed"] is False, task["name"]
        mirror.kill()
        mirror.communicate()
        assert results[1]["changed"], "the first example changes a bare node"


def test_examples_of_info_run(play_folder):
    """What one of them registers the next one uses, so they are one play."""
    with Node() as node:
        node.install_plugins()
        for args in (("--check",), ()):
            (play_folder / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": examples("cni_info")}]))
            run = node.playbook(play_folder / "play.yml", args=args)
            if not args:
                assert run.rc == 0, f"{run.stdout}{run.stderr}"
            assert not [entry for entry in run.tasks if entry["action"] == "kubenode.network.cni_info" and entry["result"]["changed"]]
