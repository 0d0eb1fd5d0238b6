# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that wait to be confirmed, on a node with systemd: its unit, a reboot, and a controller over ssh that is cut off."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys

import pytest
import yaml
from testbed import diff_dumps, program, wait_for
from testbed.paths import HERE, link_collection
from testbed.systemd import SystemdNode

PODS = ["10.244.1.0/24", "fd00:10:244:1::/64"]
NODE = {"sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": PODS}, "masquerade": {"cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]}, "networks": []}
OTHER = {**NODE, "kubenet_bridge": {"pod_cidrs": PODS, "mtu": "1300"}, "sysctl_bridge_nf": {"forwarding": ["ipv4"]}}
JOURNAL = "/var/lib/kubenode-network/journal.json"
DOCUMENT = "/etc/kubenode-network/node.json"


@pytest.fixture(scope="module")
def node():
    with SystemdNode("confirm") as made:
        made.run(["sh", "-c", "mkdir -p /opt/cni && cp -r /usr/lib/cni /opt/cni/bin"])
        yield made


def made(node, options, **terms):
    result = node.module("node_network", {**options, **terms})
    assert not result.get("failed"), result
    return result


def dump(node):
    return json.loads(node.run(["python3", "-I", "-S", str(HERE / "dump.py")]).stdout)


def guards(node):
    listed = node.run(["systemctl", "list-units", "--plain", "--no-legend", "--state=active", "kubenode-network-revert-*"]).stdout
    return [line.split()[0] for line in listed.splitlines()]


def is_over(node):
    return lambda: not node.exists(JOURNAL) and not guards(node)


def test_a_unit_of_its_own_takes_a_change_back(node):
    made(node, NODE)
    before = dump(node)
    made(node, OTHER, confirm_timeout=5)
    assert len(guards(node)) == 1
    wait_for(is_over(node), 60)
    difference = diff_dumps(before, dump(node))
    assert not difference, difference


def test_a_reboot_takes_a_change_back_that_nobody_has_confirmed(node):
    """Also without the boot service; what the kernel has forgotten by then is not made again."""
    made(node, NODE)
    document = node.read(DOCUMENT)
    made(node, {**NODE, "networks": [{"name": "mynet", "plugins": [{"type": "bridge"}], "cni_version": "1.0.0"}]}, confirm_timeout=3600)
    assert node.exists("/etc/cni/net.d/10-mynet.conflist") and node.read(DOCUMENT) != document
    node.restart()
    assert not node.exists("/etc/cni/net.d/10-mynet.conflist") and node.read(DOCUMENT) == document
    assert not node.exists(JOURNAL) and not node.exists("/etc/systemd/system/kubenode-network-revert.service")
    assert "cbr0" not in node.run(["ip", "link"]).stdout


def of_ours(dumped):
    """Without the container's own link, which is another one after each of its boots."""
    links = {part: dumped[part].get("cbr0") for part in ("links", "addresses")}
    return {**links, **{part: dumped[part] for part in ("files", "nft", "sysctls")}}


def test_a_boot_with_a_change_that_nobody_has_confirmed_is_as_one_without(node):
    """Also where the change has put settings in place that are applied early, or has removed the boot service."""
    sent = program.send(node)
    made(node, {**NODE, "boot_service": sent})
    node.restart()
    before = of_ours(dump(node))
    assert "cbr0" in node.run(["ip", "link"]).stdout
    router = {"forwarding": ["ipv4", "ipv6"], "bridge_nf_call_arptables": False}
    made(node, {"sysctl_bridge_nf": router, "boot_service": {"state": "absent"}}, confirm_timeout=3600)
    node.restart()
    wait_for(lambda: node.run(["systemctl", "is-active", "kubenode-network.service"], check=False).stdout == "active\n", 30)
    difference = diff_dumps(before, of_ours(dump(node)))
    assert not difference, difference
    assert not node.run(["systemctl", "list-units", "--failed", "--no-legend"]).stdout
    made(node, {"sysctl_bridge_nf": {"forwarding": ["ipv4"]}})
    node.restart()
    before = of_ours(dump(node))
    made(node, {"sysctl_bridge_nf": router}, confirm_timeout=3600)
    node.restart()
    difference = diff_dumps(before, of_ours(dump(node)))
    assert not difference, difference
    made(node, {"boot_service": {"state": "absent"}})


# Over ssh


@pytest.fixture
def site(node, tmp_path):
    """An inventory of the node over ssh, and how to run the role on it."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    node.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_text())
    address = json.loads(node.run(["ip", "-j", "-4", "address", "show", "eth0"]).stdout)[0]["addr_info"][0]
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ControlPersist=60s -o ServerAliveInterval=5 -o ServerAliveCountMax=12"
    host = {
        "ansible_host": address["local"], "ansible_user": "root", "ansible_ssh_private_key_file": str(key), "ansible_ssh_common_args": options,
        "ansible_python_interpreter": "/usr/bin/python3", "ansible_timeout": 5,
    }  # fmt: skip
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"node": host}}}))
    play = [{"hosts": "all", "gather_facts": False, "roles": ["kubenode.network.node_network"], "environment": {"PYTHONPATH": "/opt/testbed"}}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))

    def run(**variables):
        names = {f"node_network_{name}": value for name, value in {**NODE, "boot": False, **variables}.items()}
        settings = {"COLLECTIONS_PATH": str(link_collection()), "HOME": str(tmp_path), "NOCOLOR": "1", "PIPELINING": "1"}
        env = {**os.environ, **{f"ANSIBLE_{name}": value for name, value in settings.items()}}
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "inventory.yml"), str(tmp_path / "play.yml"), "-e", json.dumps(names)]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=300)

    run.controller = str(ipaddress.ip_interface(f"{address['local']}/{address['prefixlen']}").network[1])
    return run


def test_the_role_confirms_over_a_new_connection(node, site):
    ran = site(**OTHER, confirm_timeout=60)
    assert ran.returncode == 0, ran.stdout
    assert "Keep the change" in ran.stdout and not node.exists(JOURNAL)
    assert "mtu 1300" in node.run(["ip", "link", "show", "cbr0"]).stdout
    again = site(**OTHER, confirm_timeout=60)
    assert again.returncode == 0 and "changed=0" in again.stdout and "Keep the change" not in again.stdout.replace("Confirm", "")


def test_a_node_that_a_change_cuts_off_comes_back_by_itself(node, site):
    """The pod range has the controller's own address in it, which the bridge takes: nothing that the node sends arrives."""
    ran = site(**NODE)
    assert ran.returncode == 0, ran.stdout
    before = dump(node)
    wrong = {**NODE, "kubenet_bridge": {"pod_cidrs": [f"{site.controller}/30"]}, "masquerade": {"cluster_cidrs": ["10.0.0.0/8"]}}
    wrong["kubenet_bridge"]["pod_cidrs"] = [str(ipaddress.ip_network(f"{site.controller}/30", strict=False))]
    ran = site(**wrong, confirm_timeout=20, force=True)
    assert ran.returncode != 0
    assert "was reverted" in ran.stdout or "UNREACHABLE" in ran.stdout, ran.stdout
    wait_for(is_over(node), 60)
    difference = diff_dumps(before, dump(node))
    assert not difference, difference
    assert site(**NODE).returncode == 0, "and can be reached"
