# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.kubenode.network.plugins import filter as filters

NAMES = sorted(path.stem for path in Path(next(iter(filters.__path__))).glob("*.yml"))
DOCS = {name: yaml.safe_load(Path(next(iter(filters.__path__)), f"{name}.yml").read_text()) for name in NAMES}


def found(name):
    return importlib.import_module(f"{filters.__name__}.{name}").FilterModule().filters()[name]


def test_all_are_there():
    assert NAMES == ["cidr_gateway", "cidr_nth", "cidr_overlaps", "pod_mtu"]
    assert all(DOCS[name]["DOCUMENTATION"]["name"] == name for name in NAMES)


@pytest.mark.parametrize(("name", "args", "answer"), [
    ("cidr_nth", ("10.244.0.0/16", 0), "10.244.0.0/24"),
    ("cidr_nth", ("10.244.0.0/16", 255), "10.244.255.0/24"),
    ("cidr_nth", ("10.244.0.0/16", -256), "10.244.0.0/24"),
    ("cidr_nth", ("10.244.0.0/16", "7", "26"), "10.244.1.192/26"),
    ("cidr_nth", ("10.244.0.0/26", 0), "10.244.0.0/26"),
    ("cidr_nth", ("10.244.0.0/24", 5, 32), "10.244.0.5/32"),
    ("cidr_nth", ("FD00::/48", -1), "fd00:0:0:ffff::/64"),
    ("cidr_gateway", ("10.244.3.0/24",), "10.244.3.1"),
    ("cidr_gateway", ("fd00:0:0:3::/64",), "fd00:0:0:3::1"),
    ("cidr_overlaps", ("10.0.0.0/8", "10.1.2.3"), True),
    ("cidr_overlaps", ("10.1.2.3", "10.1.2.4"), False),
    ("cidr_overlaps", (["fd00::1", "10.9.0.0/16"], ["10.8.0.0/16", "fd00::/8"]), True),
    ("cidr_overlaps", ("0.0.0.0/0", "::/0"), False),
    ("cidr_overlaps", ([], "10.0.0.0/8"), False),
    ("pod_mtu", (1500, "vxlan/ipv4"), 1450),
    ("pod_mtu", ("9000", 50), 8950),
    ("pod_mtu", (1500, "calico/vxlan/ipv6"), 1430),
    ("pod_mtu", (576, 0), 576),
])  # fmt: skip
def test_answers(name, args, answer):
    assert found(name)(*args) == answer


@pytest.mark.parametrize(("name", "args", "message"), [
    ("cidr_nth", ("10.244.1.0/16", 0), "cidr_nth: '10.244.1.0/16' has host bits set (expected 10.244.0.0/16)"),
    ("cidr_nth", (None, 0), "cidr_nth: None is not a string (expected e.g. 10.244.1.0/24)"),
    ("cidr_nth", ("10.244.0.0/16", 256), "cidr_nth: number: 256 is not usable (expected an integer from -256 to 255)"),
    ("cidr_nth", ("10.244.0.0/16", "one"), "cidr_nth: number: 'one' is not usable (expected an integer from -256 to 255)"),
    ("cidr_nth", ("10.244.0.0/16", True), "cidr_nth: number: True is not usable (expected an integer from -256 to 255)"),
    ("cidr_nth", ("10.244.0.0/16", 0, 15), "cidr_nth: node_mask_size: 15 is not usable (expected an integer from 16 to 32)"),
    ("cidr_gateway", ("10.244.3.7",), "cidr_gateway: '10.244.3.7' has no prefix length (expected e.g. 10.244.3.0/24)"),
    ("cidr_gateway", ("10.244.3.0/31",), "cidr_gateway: '10.244.3.0/31' has no room for a gateway and a pod"),
    ("cidr_overlaps", ("10.0.0.0/8", "x"), "cidr_overlaps: others: 'x' is not a CIDR (expected e.g. 10.244.1.0/24)"),
    ("cidr_overlaps", ("10.0.0.0/8", ["::/0", 7]), "cidr_overlaps: others[1]: 7 is not a string (expected e.g. 10.244.1.0/24)"),
    ("cidr_overlaps", (["10.0.0.1/8"], []), "cidr_overlaps: [0]: '10.0.0.1/8' has host bits set (expected 10.0.0.0/8)"),
    ("cidr_overlaps", ({}, []), "cidr_overlaps: {} is not a list (expected a list of CIDRs, e.g. [10.244.1.0/24])"),
    ("pod_mtu", ("many", 50), "pod_mtu: 'many' is not usable (expected an integer from 576 to 65535)"),
    ("pod_mtu", (1500, "weave/none"), "pod_mtu: overhead: 'weave/none' names no mode of weave whose overhead is known"),
    ("pod_mtu", (1500, None), "pod_mtu: overhead: None is not an overhead (expected e.g. 50)"),
    ("pod_mtu", (600, 50), "pod_mtu: overhead: 50 leaves 550 of 600 (expected at least 576)"),
])  # fmt: skip
def test_one_clear_error_each(name, args, message):
    with pytest.raises(AnsibleFilterError) as caught:
        found(name)(*args)
    assert str(caught.value).startswith(message)


def test_the_examples_run_and_say_what_they_say(tmp_path):
    texts = [DOCS[name]["EXAMPLES"] for name in NAMES]
    tasks = [{**task, "register": f"told_{number}"} for number, task in enumerate(task for text in texts for task in yaml.safe_load(text))]
    tell = {"ansible.builtin.copy": {"content": "{{ told | to_json }}", "dest": str(tmp_path / "told.json"), "mode": "0644"},
            "vars": {"told": "{{ [" + ", ".join(f"told_{number}.msg" for number in range(len(tasks))) + "] }}"}}  # fmt: skip
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [*tasks, tell]}]))
    (tmp_path / "ansible.cfg").touch()
    env = {**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path)}
    local = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    argv = [sys.executable, "-m", "ansible", "playbook", *local, str(tmp_path / "play.yml")]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [answer for msg in json.loads((tmp_path / "told.json").read_text()) for answer in (msg if isinstance(msg, list) else [msg])]
    promised = [yaml.safe_load(text) for text in re.findall(r"# => (.+)", "".join(texts))]
    promised = [answer for each in promised for answer in (each if isinstance(each, list) else [each])]
    assert [answer for answer in told if answer != "All assertions passed"] == promised


@pytest.mark.parametrize("name", ["kubenode.network." + name for name in NAMES])
def test_ansible_doc_knows_them(name, tmp_path):
    env = {**os.environ, "ANSIBLE_HOME": str(tmp_path)}
    argv = [sys.executable, "-m", "ansible", "doc", "-t", "filter", "-j", name]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert name in json.loads(done.stdout), done.stderr
