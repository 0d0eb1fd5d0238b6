# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with systemd that fetches its own network: the timer, the service, the journal, and their end."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from testbed import wait_for, web
from testbed.paths import CHECKOUT
from testbed.systemd import SystemdNode

UNIT = "kubenode-network-pull"
VAR = "/var/lib/kubenode-network-pull"
BIN = "/opt/ansible/bin"
PORT = 8443
DOCUMENT = {
    "node_network_pod_cidrs": ["10.244.1.0/24"],
    "node_network_cni_plugins": {"src": "/usr/lib/cni", "remote_src": True},
    "node_network_kubenet_bridge": {"mtu": "1450"},
    "node_network_masquerade": {"cluster_cidrs": ["10.244.0.0/16"], "node_cidrs": []},
}
SERVE = f"""
[Service]
ExecStart=/usr/bin/python3 {CHECKOUT}/tests/testbed/web.py /srv {PORT} /run/asked /srv/key.pem
"""
PLAY = "- hosts: all\n  gather_facts: false\n  roles: [kubenode.network.pull]\n"


@pytest.fixture(scope="module")
def node():
    # What Ansible needs is seen where it is here; its programs are made to find it.
    site = Path(importlib.util.find_spec("ansible").origin).parents[1]
    with SystemdNode("pull", seen=(site,)) as made:
        for name in ("ansible-pull", "ansible-playbook", "ansible-galaxy"):
            module = name.partition("-")[2]
            made.write(f"{BIN}/{name}", f"#!/usr/bin/python3\nimport sys\nfrom ansible.cli.{module} import main\nsys.exit(main())\n", 0o755)
        made.write("/usr/lib/python3/dist-packages/testbed.pth", f"{site}\n")
        yield made


def run_role(node, **variables):
    variables = {"pull_ansible_bin": BIN, "pull_collection": "/srv/kubenode-network-0.1.0.tar.gz", "pull_collection_remote_src": True,
                 "pull_source": "http", "pull_url": f"https://127.0.0.1:{PORT}/files/{{host}}.json",
                 "pull_ca": "/srv/key.pem.crt", "pull_host": "{hostname}", **variables}  # fmt: skip
    node.write("/run/play.yml", PLAY)
    node.write("/run/variables.json", json.dumps(variables))
    argv = [f"{BIN}/ansible-playbook", "-i", "anything,", "-c", "local", "-e", "@/run/variables.json",
            "-e", "ansible_python_interpreter=/usr/bin/python3", "/run/play.yml"]  # fmt: skip
    env = {"ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "collections"), "LC_ALL": "C.UTF-8", "HOME": "/root", "ANSIBLE_PIPELINING": "1"}
    done = node.run(argv, check=False, timeout=200, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def status(node):
    return json.loads(node.read(f"{VAR}/status.json"))


@pytest.mark.timeout(900)
def test_the_timer_fetches_and_applies_until_it_is_removed(node, tmp_path):
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    subprocess.run([galaxy, "collection", "build", CHECKOUT, "--output-path", tmp_path], check=True, stdout=subprocess.DEVNULL)
    web.make_certificate(tmp_path / "key.pem", "127.0.0.1")
    (tmp_path / "pull.json").write_text(json.dumps(DOCUMENT))
    packed = subprocess.run(["tar", "--create", "--directory", tmp_path, "."], check=True, stdout=subprocess.PIPE)
    subprocess.run([*node.enter(), "tar", "--extract", "--no-same-owner", "--directory", "/srv"], check=True, input=packed.stdout)
    node.write("/etc/systemd/system/serve.service", SERVE)
    node.run(["systemctl", "daemon-reload"])
    node.run(["systemctl", "start", "serve.service"])

    run_role(node, pull_now=False, pull_on_calendar="*:*:0/1", pull_spread=0)
    wait_for(lambda: node.exists(f"{VAR}/status.json"), 100, "the timer's first run")
    first = status(node)
    assert first["result"] == "changed", first
    assert "cbr0" in node.run(["ip", "-br", "link"]).stdout
    wait_for(lambda: status(node)["last_try"] != first["last_try"], 60, "the timer's second run")
    assert (status(node)["result"], status(node)["revision"]) == ("unchanged", first["revision"])
    said = node.run(["journalctl", f"--unit={UNIT}.service", "--output=cat"]).stdout
    assert f"{UNIT}: changed, revision {first['revision'][:12]}" in said and "PLAY RECAP" in said

    node.run(["systemctl", "stop", f"{UNIT}.timer", f"{UNIT}.service", "serve.service"])
    assert node.run(["systemctl", "start", f"{UNIT}.service"], check=False, timeout=100).returncode == 1
    assert node.run(["systemctl", "is-failed", f"{UNIT}.service"]).stdout == "failed\n", "which monitoring sees"
    assert status(node)["stage"] == "fetch"
    verified = node.run(["systemd-analyze", "verify", f"{UNIT}.service", f"{UNIT}.timer"])
    assert verified.stderr == ""

    assert " changed=2 " in run_role(node, pull_now=False), "which are the timer's unit and its start"
    timer = node.run(["systemctl", "show", f"{UNIT}.timer", "--property=TimersCalendar,RandomizedDelayUSec,Persistent,ActiveState,UnitFileState"]).stdout
    for word in ("OnCalendar=*-*-* *:00/30:00", "RandomizedDelayUSec=30min", "Persistent=yes", "ActiveState=active", "UnitFileState=enabled"):
        assert word in timer

    run_role(node, pull_now=False, pull_schedule="cron")
    assert node.exists(f"/etc/cron.d/{UNIT}") and not node.exists(f"/etc/systemd/system/{UNIT}.timer"), "one of both runs it"
    assert node.run(["systemctl", "list-units", "--plain", "--no-legend", f"{UNIT}.timer"]).stdout == ""
    run_role(node, pull_now=False)
    assert not node.exists(f"/etc/cron.d/{UNIT}")
    assert node.run(["systemctl", "is-active", f"{UNIT}.timer"]).stdout == "active\n"

    # A run that somebody started by hand is let end before all that it needs goes.
    by_hand = subprocess.Popen([*node.enter(), "flock", f"{VAR}/work/lock", "sh", "-c", f"sleep 15; ls {VAR}/status.json"], stdout=subprocess.PIPE, text=True)
    run_role(node, pull_state="absent")
    assert by_hand.communicate(timeout=60)[0] == f"{VAR}/status.json\n"
    found = node.run(["find", "/etc", "/usr/local", "/var/lib", "-name", f"*{UNIT}*"]).stdout
    assert found == ""
    assert UNIT not in node.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", f"{UNIT}*"]).stdout
    assert "cbr0" in node.run(["ip", "-br", "link"]).stdout, "the network stays"
