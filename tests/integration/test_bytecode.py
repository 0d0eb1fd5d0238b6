# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled code that stays on the node: used where it is that of the source, and never believed otherwise."""

from __future__ import annotations

import json
import sys
import zipfile

import pytest
from testbed import Node
from testbed.paths import CHECKOUT

CACHE = f"/run/kubenode-network/bytecode.{sys.implementation.cache_tag}-0"
PACKAGE = "ansible_collections/kubenode/network/plugins/module_utils"
#: Imports a section from an archive as a module does, keeps what was compiled, and says what that was.
PROGRAM = """
import json, sys
compiled = []
sys.addaudithook(lambda event, args: compiled.append(args[1]) if event == "compile" else None)
sys.path.insert(0, sys.argv[1])
from ansible_collections.kubenode.network.plugins.module_utils import _door
from ansible_collections.kubenode.network.plugins.module_utils._errors import Problem
from ansible_collections.kubenode.network.plugins.module_utils._host import code
from ansible_collections.kubenode.network.plugins.module_utils._sections import networks
code.keep()
names = [str(name).partition("module_utils/")[2] for name in compiled if str(name).startswith(sys.argv[1])]
print(json.dumps({"compiled": names, "said": str(Problem("a", "b")), "file": networks.__file__, "package": networks.__package__}))
"""
#: What comes before the cache is used, and so has to be compiled in every run.
BEFORE = {"_door.py", "_host/__init__.py", "_host/bytecode.py"}


@pytest.fixture
def node():
    with Node() as made:
        yield made


def archive(path, change=lambda name, text: text):
    """The collection's code as Ansible packs it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(1, PACKAGE.count("/") + 1):
            made.writestr("/".join([*PACKAGE.split("/")[:number], "__init__.py"]), "")
        root = CHECKOUT / "plugins" / "module_utils"
        for source in root.rglob("*.py"):
            name = source.relative_to(root).as_posix()
            made.writestr(f"{PACKAGE}/{name}", change(name, source.read_text()))
        made.writestr(f"{PACKAGE}/__init__.py", "")
    return str(path)


def run(node, path):
    result = node.run([sys.executable, "-I", "-c", PROGRAM, path], check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_second_run_compiles_nothing_that_it_need_not(node, tmp_path):
    path = archive(tmp_path / "code.zip")
    first = set(run(node, path)["compiled"])
    assert {"_errors.py", "_cni/keys.py", "_sections/networks.py"} <= first
    assert node.run(["stat", "-c", "%a %u", CACHE, "/run/kubenode-network"]).stdout == "600 0\n700 0\n"
    second = run(node, path)
    assert set(second["compiled"]) - {""} == BEFORE | {"__init__.py"}
    assert second["file"] == f"{path}/{PACKAGE}/_sections/networks.py"
    assert second["package"].endswith("module_utils._sections")


def test_another_source_is_compiled_anew(node, tmp_path):
    run(node, archive(tmp_path / "code.zip"))
    other = archive(tmp_path / "other.zip", lambda name, text: text.replace('return f"', 'return f"OTHER ') if name == "_errors.py" else text)
    found = run(node, other)
    assert "OTHER" in found["said"]
    assert "_errors.py" in found["compiled"]
    assert "_cni/keys.py" not in found["compiled"]


@pytest.mark.parametrize("spoil", [
    ["truncate", "-s", "-1", CACHE],
    ["truncate", "-s", "3", CACHE],
    ["sh", "-c", f"printf '\\377' | dd of={CACHE} bs=1 seek=99 conv=notrunc"],
    ["sh", "-c", f"printf '\\377' | dd of={CACHE} bs=1 seek=0 conv=notrunc"],
    ["chown", "65534", CACHE],
    ["chmod", "g+w", CACHE],
    ["chmod", "o+w", "/run/kubenode-network"],
    ["sh", "-c", f"mv {CACHE} /run/code && ln -s /run/code {CACHE}"],
    ["sh", "-c", f"rm {CACHE} && mkfifo {CACHE}"],
], ids=" ".join)
def test_what_is_damaged_or_may_be_another_s_is_not_run(node, tmp_path, spoil):
    path = archive(tmp_path / "code.zip")
    run(node, path)
    node.run(spoil)
    assert "_cni/keys.py" in run(node, path)["compiled"]


def test_a_full_disk_is_no_error(node, tmp_path):
    node.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700,X-mount.mkdir", "tmpfs", "/run/kubenode-network"])
    assert "_cni/keys.py" in run(node, archive(tmp_path / "code.zip"))["compiled"]
    assert node.run(["ls", "-A", "/run/kubenode-network"]).stdout == ""


def test_check_mode_keeps_nothing(node):
    node.install_plugins()
    task = '- kubenode.network.cni_config: {name: mynet, plugins: [{type: bridge, ipam: {type: host-local, subnet: 10.1.0.0/24}}]}'
    play = f"- hosts: all\n  gather_facts: false\n  tasks:\n    {task}\n"
    assert node.playbook(play, args=("--check",)).rc == 0
    assert not node.exists("/run/kubenode-network")
    assert node.playbook(play).rc == 0
    assert node.exists(CACHE)
