# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes of a site as configuration of routers."""

from __future__ import annotations

import subprocess

import pytest
from testbed import Node
from testbed.paths import CHECKOUT

PEERS = {
    "node-1": {"pod_cidrs": ["10.244.1.0/24", "FD00:10:244:1::/64"], "addresses": ["192.0.2.11", "2001:db8::11", "192.0.2.99"]},
    "$(reboot)'": {"pod_cidrs": ["10.244.2.0/24"], "addresses": ["192.0.2.12"]},
    "new": {"pod_cidrs": None, "addresses": ["192.0.2.13"]},
}
#: Programs of a cloud that write down what they are asked.
AWS = """#!/bin/sh
echo "$*" >>/run/asked
case $2 in
    describe-network-interfaces) case $* in *192.0.2.12*) echo eni-2 ;; *192.0.2.99*) echo None ;; *) echo eni-1 ;; esac ;;
    replace-route) case $* in *10.244.1.0/24*) ;; *) exit 255 ;; esac ;;
esac
"""
GCLOUD = """#!/bin/sh
echo "$*" >>/run/asked
case $* in *describe*) exit 1 ;; esac
"""


@pytest.fixture(scope="module")
def node():
    with Node() as made:
        made.write("/usr/local/bin/aws", AWS, 0o755)
        made.write("/usr/local/bin/gcloud", GCLOUD, 0o755)
        yield made


def export(node, **variables):
    given = {"kubenode_network_peers": PEERS, **{f"kubenode_network_export_{name}": value for name, value in variables.items()}}
    return node.playbook(CHECKOUT / "playbooks" / "export_routes.yml", {name: value for name, value in given.items() if value is not None})


def text_of(node, **variables):
    play = export(node, file="/run/exported", **variables)
    assert play.rc == 0, play.stdout + play.stderr
    return node.read("/run/exported")


def asked(node, script):
    """What a cloud's program is asked by a script, which has no faults that are known."""
    checked = subprocess.run(["shellcheck", "-"], input=script, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    node.run(["rm", "-f", "/run/asked"])
    node.run(["sh", "/run/exported"])
    return node.read("/run/asked").splitlines()


def test_frr(node):
    """FRR itself reads it in tests/systemd/test_frr.py."""
    assert text_of(node) == (
        "! Routes to the pods of Kubernetes nodes, by kubenode.network.export_routes.\n"
        "! node-1\nip route 10.244.1.0/24 192.0.2.11\n! node-1\nipv6 route fd00:10:244:1::/64 2001:db8::11\n! __reboot__\nip route 10.244.2.0/24 192.0.2.12\n"
    )


def test_vyos(node):
    assert text_of(node, format="vyos").splitlines() == [
        "set protocols static route 10.244.1.0/24 next-hop 192.0.2.11", "set protocols static route 10.244.1.0/24 description 'node-1'",
        "set protocols static route6 fd00:10:244:1::/64 next-hop 2001:db8::11", "set protocols static route6 fd00:10:244:1::/64 description 'node-1'",
        "set protocols static route 10.244.2.0/24 next-hop 192.0.2.12", "set protocols static route 10.244.2.0/24 description '__reboot__'",
    ]  # fmt: skip


def test_aws(node):
    """A route that is there gets its interface, another one is made."""
    table = "--route-table-id rtb-0123abcd"
    look = "ec2 describe-network-interfaces --filters Name={},Values={} --query NetworkInterfaces[0].NetworkInterfaceId --output text"
    assert asked(node, text_of(node, format="aws", route_table="rtb-0123abcd")) == [
        look.format("addresses.private-ip-address", "192.0.2.11"),
        f"ec2 replace-route {table} --destination-cidr-block 10.244.1.0/24 --network-interface-id eni-1",
        look.format("ipv6-addresses.ipv6-address", "2001:db8::11"),
        f"ec2 replace-route {table} --destination-ipv6-cidr-block fd00:10:244:1::/64 --network-interface-id eni-1",
        f"ec2 create-route {table} --destination-ipv6-cidr-block fd00:10:244:1::/64 --network-interface-id eni-1",
        look.format("addresses.private-ip-address", "192.0.2.12"),
        f"ec2 replace-route {table} --destination-cidr-block 10.244.2.0/24 --network-interface-id eni-2",
        f"ec2 create-route {table} --destination-cidr-block 10.244.2.0/24 --network-interface-id eni-2",
    ]


def test_aws_without_the_node(node):
    peers = {"node-1": {"pod_cidrs": ["10.244.1.0/24"], "addresses": ["192.0.2.99"]}}
    play = node.playbook(CHECKOUT / "playbooks" / "export_routes.yml", {
        "kubenode_network_peers": peers, "kubenode_network_export_format": "aws", "kubenode_network_export_route_table": "rtb-0",
        "kubenode_network_export_file": "/run/exported"})  # fmt: skip
    assert play.rc == 0
    done = node.run(["sh", "/run/exported"], check=False)
    assert (done.returncode, done.stderr) == (1, "no network interface has the address 192.0.2.99\n")


def test_gcp(node):
    lines = asked(node, text_of(node, format="gcp", network="prod-net"))
    made = [line.split(" ", 4) for line in lines if " create " in line]
    assert len({words[3] for words in made}) == 3 and all(words[3].startswith("pods-") for words in made)
    assert [words[4] for words in made] == [
        f"--network=prod-net --destination-range={prefix} --next-hop-address={via}"
        for prefix, via in (("10.244.1.0/24", "192.0.2.11"), ("fd00:10:244:1::/64", "2001:db8::11"), ("10.244.2.0/24", "192.0.2.12"))
    ]


def test_without_a_file_it_is_shown(node):
    play = export(node)
    assert play.rc == 0 and '"ip route 10.244.1.0/24 192.0.2.11",' in play.stdout


@pytest.mark.parametrize(("variables", "text"), [
    ({"format": "cisco"}, "one of aws, frr, gcp, vyos"),
    ({"format": "aws"}, "for aws kubenode_network_export_route_table, such as rtb-0123abcd"),
    ({"format": "aws", "route_table": "rtb-1'; reboot"}, "for aws kubenode_network_export_route_table"),
    ({"format": "gcp", "network": "default'\n"}, "for gcp kubenode_network_export_network, the name of a network"),
], ids=str)  # fmt: skip
def test_what_is_wrong_is_said(node, variables, text):
    play = export(node, **variables)
    assert play.rc != 0 and text in " ".join(play.stdout.split())


def test_wrong_peers_are_said(node):
    play = node.playbook(CHECKOUT / "playbooks" / "export_routes.yml", {"kubenode_network_peers": {"a": {"pod_cidrs": ["10.244.1.0/24; reboot"]}}})
    assert play.rc != 0 and "peers.a.pod_cidrs[0]: '10.244.1.0/24; reboot' is not a CIDR" in play.stdout + play.stderr
