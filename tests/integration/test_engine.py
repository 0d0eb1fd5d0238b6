# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that a node keeps: sent once, asked for where it is missing, and never run where somebody else may have written it."""

from __future__ import annotations

import base64
import json
import shutil
import sys
import zlib
from contextlib import contextmanager

import pytest
from testbed import Node, diff_dumps, wait_for
from testbed.paths import CHECKOUT

FOLDER = "/run/kubenode-network"
ENGINE = f"{FOLDER}/engine.zip"
CACHE = f"{FOLDER}/bytecode.{sys.implementation.cache_tag}-0"
BRIDGE = {"kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24"]}}
#: What the controller remembers of nodes.
REMEMBERED = "/run/testbed/ansible/kubenode-network/engines"
#: Notes what each process of a module was given, and goes on as that process.
PYTHON = f"""#!/bin/sh
for word; do case $word in *AnsiballZ_node_network.py) wc -c < "$word" >> /run/sent;; esac; done
exec {sys.executable} "$@"
"""
#: Bytes of a module without the engine, at most. With it, it is several times that.
SMALL = 300_000


@contextmanager
def plain_node():
    with Node() as made:
        made.install_plugins()
        made.write("/run/python", PYTHON, 0o755)
        yield made


@pytest.fixture
def node():
    with plain_node() as made:
        yield made


@pytest.fixture(scope="module")
def used():
    """A node that has the engine, before and after each test."""
    with plain_node() as made:
        play(made)
        yield made


def play(node, options=None, args=(), env=None, **more):
    """The result of a run, and the sizes of the modules that it sent."""
    node.write("/run/sent", "")
    task = {"kubenode.network.node_network": options or BRIDGE, **more}
    done = node.playbook(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}], indent=1) + "\n", args=args, python="/run/python",
                         env={"ANSIBLE_PIPELINING": "0", **(env or {})})
    return done.tasks[0]["result"], [int(size) for size in node.read("/run/sent").split()]


def test_a_node_is_sent_the_engine_once(node):
    result, sent = play(node)
    assert result["changed"] and len(sent) == 1 and sent[0] > SMALL
    assert "engine" not in str(result), "nobody has asked for it"
    assert node.run(["stat", "-c", "%a %u", ENGINE, CACHE, FOLDER]).stdout == "600 0\n600 0\n700 0\n"
    before = node.run(["stat", "-c", "%i %Z", ENGINE, CACHE]).stdout
    result, sent = play(node)
    assert not result["changed"] and len(sent) == 1 and sent[0] < SMALL
    assert node.run(["stat", "-c", "%i %Z", ENGINE, CACHE]).stdout == before, "there was nothing to compile, either"


@pytest.mark.parametrize("spoil", [
    ["rm", ENGINE],
    ["truncate", "-s", "-1", ENGINE],
    ["sh", "-c", f"printf '\\377' | dd of={ENGINE} bs=1 seek=999 conv=notrunc"],
    ["chown", "65534", ENGINE],
    ["chmod", "g+w", ENGINE],
    ["chmod", "o+w", FOLDER],
    ["sh", "-c", f"mv {ENGINE} /run/engine && ln -s /run/engine {ENGINE}"],
    ["sh", "-c", f"rm {ENGINE} && mkfifo {ENGINE}"],
], ids=" ".join)
def test_a_node_that_has_lost_it_asks_for_it(used, spoil):
    used.run(spoil)
    result, sent = play(used)
    used.run(["chmod", "700", FOLDER])
    assert not result.get("failed") and not result["changed"]
    assert [size < SMALL for size in sent] == [True, False], "asked for, then sent"


def test_what_it_has_made_is_taken_back_by_the_engine_alone(used):
    before = used.dump()
    result, _sent = play(used, {"kubenet_bridge": {**BRIDGE["kubenet_bridge"], "mtu": "1300"}, "confirm_timeout": 2})
    assert result["changed"] and "mtu 1300" in used.run(["ip", "link", "show", "cbr0"]).stdout
    wait_for(lambda: not used.exists("/var/lib/kubenode-network/journal.json"), 30)
    assert diff_dumps(before, used.dump()) == ""


def test_another_engine_is_sent(node):
    play(node)
    for name in node.run(["ls", REMEMBERED]).stdout.split():
        node.write(f"{REMEMBERED}/{name}", "0" * 64)
    sent = play(node)[1]
    assert len(sent) == 1 and sent[0] > SMALL
    assert play(node)[1][0] < SMALL


def test_check_mode_keeps_nothing_and_counts_on_nothing(node):
    for _time in range(2):
        result, sent = play(node, args=("--check",))
        assert result["changed"] and len(sent) == 1 and sent[0] > SMALL
        assert not node.exists(FOLDER) and not node.exists(REMEMBERED)
    play(node)
    assert play(node, args=("--check",))[1][0] < SMALL


def test_what_the_node_has_is_not_written_again(used):
    before = used.run(["stat", "-c", "%i %Z", ENGINE, CACHE]).stdout
    used.run(["rm", "-r", REMEMBERED])
    assert play(used, args=("--check",))[1][0] > SMALL
    assert used.run(["stat", "-c", "%i %Z", ENGINE, CACHE]).stdout == before
    assert play(used)[1][0] < SMALL, "the node has said so in check mode"


def test_a_run_that_is_refused_keeps_nothing(node):
    result, sent = play(node, {"kubenet_bridge": {"pod_cidrs": ["10.244.1.0/33"]}}, ignore_errors=True)
    assert result["problems"][0]["path"] == "kubenet_bridge.pod_cidrs[0]" and len(sent) == 1
    assert not node.exists(ENGINE) and not node.exists(REMEMBERED)


def test_a_run_that_fails_keeps_it(node):
    node.run(["mount", "-t", "tmpfs", "-o", "ro,X-mount.mkdir", "tmpfs", "/etc/cni/net.d"])
    result, sent = play(node, ignore_errors=True)
    assert "Read-only file system" in result["msg"] and sent[0] > SMALL
    node.run(["umount", "/etc/cni/net.d"])
    result, sent = play(node)
    assert result["changed"] and [size < SMALL for size in sent] == [True]


def test_a_node_that_cannot_keep_it_is_sent_it_at_once(node):
    node.write(FOLDER, "a file\n")
    for _time in range(2):
        result, sent = play(node)
        assert not result.get("failed") and [size > SMALL for size in sent] == [True]
    assert node.read(FOLDER) == "a file\n"


def test_what_no_run_imports_does_no_harm(node, tmp_path):
    """As a file that an editor has half saved, or its lock."""
    copy = tmp_path / "ansible_collections" / "kubenode" / "network"
    shutil.copytree(CHECKOUT / "plugins", copy / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("galaxy.yml", "meta/runtime.yml"):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / name, copy / name)
    (copy / "plugins/module_utils/notes.py").write_text("def (:")
    (copy / "plugins/module_utils/.#_door.py").symlink_to("me@host.1")
    result, _sent = play(node, env={"ANSIBLE_COLLECTIONS_PATH": str(tmp_path)})
    assert result.get("changed"), result


@pytest.mark.parametrize("answer", [{"invocation": None}, {"invocation": []}, {"invocation": {"module_args": ["a"]}}, {"invocation": "text"}], ids=str)
def test_an_odd_answer_is_passed_on(node, answer):
    node.write("/run/python", f"#!/bin/sh\necho '{json.dumps({'changed': False, 'msg': 'the answer', **answer})}'\n", 0o755)
    assert play(node)[0]["msg"] == "the answer"


def test_what_the_controller_cannot_remember_is_sent_again(node):
    play(node)
    record = f"{REMEMBERED}/{node.run(['ls', REMEMBERED]).stdout.strip()}"
    node.run(["rm", record])
    node.run(["mkdir", record])
    result, sent = play(node)
    assert not result.get("failed") and sent[0] > SMALL
    assert len(node.run(["ls", "-A", REMEMBERED]).stdout.split()) == 1, "nothing is left beside it"


def test_the_program_is_asked_for_with_the_engine_that_was_sent_before(node):
    result, sent = play(node, {**BRIDGE, "boot_service": {}})
    assert result["changed"] and [size > SMALL for size in sent] == [True, False], result


@pytest.mark.parametrize("engine", [
    {},
    {"engine": "0" * 64},
    {"engine": "0" * 64, "engine_archive": "no base64", "engine_bytecode": "???"},
    {"engine": "0" * 64, "engine_archive": base64.b64encode(zlib.compress(b"print('run')")).decode()},
    {"engine_archive": ["a list"]},
], ids=["nothing", "unknown", "garbage", "another", "no text"])  # fmt: skip
def test_a_module_without_its_engine_says_so(node, engine):
    """Sent by something that is not the action plugin."""
    play = [{"hosts": "all", "gather_facts": False, "tasks": [{"kubenode.network.node_network": BRIDGE}]}]
    node.playbook(json.dumps(play, indent=1) + "\n", args=("--check",), env={"ANSIBLE_KEEP_REMOTE_FILES": "1"})
    script = node.run(["find", "/run/testbed/ansible", "-name", "AnsiballZ_node_network.py"]).stdout.strip()
    node.run([sys.executable, script, "explode"])
    given = f"{script.rpartition('/')[0]}/debug_dir/args"
    args = json.loads(node.read(given))
    args["ANSIBLE_MODULE_ARGS"].update({"engine": None, "engine_archive": None, "engine_bytecode": None, "_ansible_check_mode": False, **engine})
    node.write(given, json.dumps(args))
    done = node.run([sys.executable, script, "execute"], check=False)
    result = json.loads(done.stdout)
    assert result["failed"] and result["missing_engine"], result
    assert "action plugin kubenode.network.node_network" in result["msg"]
    assert "cbr0" not in node.run(["ip", "link"]).stdout and not node.exists(FOLDER)
