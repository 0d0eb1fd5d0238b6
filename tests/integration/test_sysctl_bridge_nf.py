# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bridges the firewall sees, on nodes with pods: by the node's network, by single bridges, for bridges that come later."""

from __future__ import annotations

import json

import pytest
from testbed import ProofError, diff_dumps, proof, wait_for
from testbed.udev import Udev

FOLDER = "/etc/cni/net.d"
IPV4, IPV6 = "10.244.1.0/24", "fd00:10:244:1::/64"
SERVICE4, SERVICE6 = "10.96.0.9", "fd00:10:96::9"
BRIDGE = {"pod_cidrs": [IPV4, IPV6]}
SYSTEMD_SYSCTL = ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")
CALLS = ("iptables", "ip6tables", "arptables")


def network(name, *types, **more):
    return json.dumps({"cniVersion": "0.4.0", "name": name, "plugins": [{"type": kind, **more} for kind in types]})


def have(node, module="sysctl_bridge_nf", **options):
    """Runs the module after its check mode, and once more: announced is done, and done is done."""
    announced = node.module(module, options, check=True)
    done = node.module(module, options)
    assert not done.get("failed"), done["msg"]
    assert done["changes"] == announced["changes"]
    again = node.module(module, options)
    assert (again["changed"], again["changes"]) == (False, [])
    return done


def values(node):
    return "".join(node.read(f"/proc/sys/net/bridge/bridge-nf-call-{table}").strip() for table in CALLS)


def switches(node, bridge):
    return "".join(node.read(f"/sys/class/net/{bridge}/bridge/nf_call_{table}").strip() for table in CALLS)


def serve(node, first, second):
    """Whether one pod reaches another on its bridge by a service's address, of each family."""
    for pod in (first, second):  # which still look for others that have their addresses
        wait_for(lambda pod=pod: passes(proof.ping, pod, "fd00:10:244:1::1"), what="IPv6 of the pod")
    seen = []
    for tool, service, target in (("iptables", SERVICE4, second.ip4), ("ip6tables", SERVICE6, f"[{second.ip6}]")):
        rule = ["-t", "nat", "-A", "PREROUTING", "-d", service, "-p", "tcp", "--dport", "80", "-j", "DNAT", "--to-destination", f"{target}:80"]
        node.run([tool, *rule])
        with second.serve_tcp(80):
            seen.append(passes(proof.tcp, first, service, 80))
        node.run([tool, *(word if word != "-A" else "-D" for word in rule)])
    return seen


def passes(ask, *args):
    try:
        ask(*args, timeout=1)
    except ProofError:
        return False
    return True


@pytest.fixture
def other_bridge(plugin_node):
    """A bridge of somebody else with two guests that a firewall rule would cut off if it saw them."""
    node = plugin_node
    node.ip("link add virbr0 type bridge", "link set virbr0 up", "netns add guest1", "netns add guest2")
    for number in (1, 2):
        node.ip(f"link add vguest{number} type veth peer name eth0 netns guest{number}", f"link set vguest{number} master virbr0 up")
        for line in ("link set eth0 up", f"addr add 172.31.0.{number}/24 dev eth0", f"addr add fd31::{number}/64 dev eth0 nodad"):
            node.run(["ip", "-n", f"guest{number}", *line.split()])
    node.run(["iptables", "-A", "FORWARD", "-s", "172.31.0.0/24", "-j", "DROP"])
    node.run(["ip6tables", "-A", "FORWARD", "-s", "fd31::/64", "-p", "icmpv6", "--icmpv6-type", "echo-request", "-j", "DROP"])
    return node


def guests(node):
    asked = [["ip", "netns", "exec", "guest1", "ping", "-c1", "-W1", "-i0.2", address] for address in ("172.31.0.2", "fd31::2")]
    return [node.run(argv, check=False).returncode == 0 for argv in asked]


# By the node's network


@pytest.mark.parametrize(("files", "options", "managed", "reason"), [
    ({}, {}, True, "there is no network on this node yet and no provider tells, so it is taken for one with a Linux bridge"),
    ({}, {"provider": "cilium"}, False, "provider cilium puts pods on no Linux bridge"),
    ({}, {"provider": "flannel"}, True, "provider flannel puts pods on a Linux bridge"),
    ({"10-a.conflist": network("a", "bridge", "portmap")}, {}, True, "network 'a' puts pods on a Linux bridge, by the plugin 'bridge'"),
    ({"10-a.conflist": network("a", "calico", "bandwidth")}, {}, False, "network 'a' puts pods on no Linux bridge, by the plugin 'calico'"),
    ({"05-a.conf": '{"cniVersion": "0.3.1", "name": "a", "type": "ptp"}', "10-b.conflist": network("b", "bridge")}, {}, False,
     "network 'a' puts pods on no Linux bridge, by the plugin 'ptp'"),
    ({"10-a.conflist": network("a", "odd", "portmap")}, {}, True,
     "network 'a' attaches pods by the plugin 'odd', of which nothing is known, so it is taken for one with a Linux bridge"),
    ({"10-a.conflist": network("a", "odd")}, {"provider": "antrea"}, False, "provider antrea puts pods on no Linux bridge"),
    ({"10-a.conflist": network("a", "ptp")}, {"bridge_nf": "enabled"}, True, "bridge_nf is enabled"),
    ({"10-a.conflist": network("a", "bridge")}, {"bridge_nf": "unmanaged"}, False, "bridge_nf is unmanaged"),
    ({"10-broken.conflist": "{", "20-a.conflist": network("a", "ptp")}, {}, True,
     "there is no network on this node yet and no provider tells, so it is taken for one with a Linux bridge"),
])
def test_auto(node, files, options, managed, reason):
    for name, text in files.items():
        node.write(f"{FOLDER}/{name}", text)
    found = node.dump()
    done = have(node, **options)
    result = done["sysctl_bridge_nf"]
    assert (result["bridge_nf"], result["reason"]) == ("enabled" if managed else "unmanaged", reason)
    assert values(node) == ("111" if managed else "000")
    assert node.exists("/etc/modules-load.d/kubenode-network.conf") is managed
    assert node.read("/proc/sys/net/ipv4/ip_forward") == "1\n" and "net.ipv4.ip_forward = 1\n" in node.read("/etc/sysctl.d/99-kubenode-network.conf")
    have(node, state="absent")
    assert not diff_dumps(found, node.dump())


def test_a_network_without_a_bridge_gives_the_values_back(node):
    """The founding documents: plugins that do not use a bridge leave them alone."""
    node.run(["sysctl", "-qw", "net.bridge.bridge-nf-call-arptables=1"])
    before = node.dump()
    have(node)
    assert values(node) == "111"
    node.write(f"{FOLDER}/10-calico.conflist", network("k8s-pod-network", "calico"))
    done = have(node, provider="kubenet")
    assert values(node) == "001"
    text = ("sysctl_bridge_nf: provider kubenet puts pods on a Linux bridge, but network 'k8s-pod-network' on this node puts them on no Linux "
            "bridge, which counts; bridge_nf=enabled or bridge_nf=unmanaged decides otherwise")
    assert done["warnings"] == [text]
    have(node, state="absent")
    node.run(["rm", "-r", FOLDER])
    assert not diff_dumps(before, node.dump())


def test_the_networks_of_the_same_run_count(plugin_node):
    """As they will be: behind files of others that win, and without those that are put aside or go."""
    node = plugin_node
    node.write(f"{FOLDER}/05-theirs.conflist", network("theirs", "ptp"))
    pods = {"name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local", "subnet": IPV4}}]}

    def decided(*networks):
        return have(node, "node_network", sysctl_bridge_nf={}, networks=list(networks))["sysctl_bridge_nf"]

    assert decided(pods)["bridge_nf"] == "unmanaged", "theirs comes first"
    assert decided({**pods, "foreign": "disable"})["reason"] == "network 'pods' puts pods on a Linux bridge, by the plugin 'bridge'"
    assert values(node) == "111"
    routed = {**pods, "plugins": [{"type": "ptp", "ipam": {"type": "host-local", "subnet": IPV4}}], "foreign": "disable"}
    assert decided(routed)["reason"] == "network 'pods' puts pods on no Linux bridge, by the plugin 'ptp'"
    assert values(node) == "000"
    assert decided({"name": "pods", "state": "absent"})["reason"] == "network 'theirs' puts pods on no Linux bridge, by the plugin 'ptp'"
    done = have(node, "node_network", sysctl_bridge_nf={}, kubenet_bridge=BRIDGE)
    assert done["sysctl_bridge_nf"]["reason"] == "this run makes the bridge cbr0 for the node's pods"


# Single bridges


def test_the_firewall_sees_the_bridge_of_the_pods_and_no_other(other_bridge):
    """Services between pods of the node work in both families, and what others have on a bridge is left alone."""
    node = other_bridge
    before = node.dump()
    run = {"kubenet_bridge": BRIDGE, "masquerade": {"cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]}}
    have(node, "node_network", sysctl_bridge_nf={"bridges": ["cbr0"]}, **run)
    assert (values(node), switches(node, "cbr0"), switches(node, "virbr0")) == ("000", "111", "000")
    with node.pod("a") as a, node.pod("b") as b:
        assert (serve(node, a, b), guests(node)) == ([True, True], [True, True])
        have(node, "node_network", sysctl_bridge_nf={}, **run)
        assert (values(node), switches(node, "cbr0")) == ("111", "000")
        assert (serve(node, a, b), guests(node)) == ([True, True], [False, False]), "all bridges are seen"
        have(node, "node_network", sysctl_bridge_nf={"bridge_nf": "unmanaged"}, **run)
        assert (values(node), serve(node, a, b), guests(node)) == ("000", [False, False], [True, True]), "none is seen"
        have(node, "node_network", sysctl_bridge_nf={"bridges": ["cbr0"], "bridge_nf_call_ip6tables": False}, **run)
        assert (switches(node, "cbr0"), serve(node, a, b)) == ("101", [True, False])
    have(node, "node_network", kubenet_bridge={"state": "absent"}, sysctl_bridge_nf={"state": "absent"}, masquerade={"state": "absent"})
    node.run(["rm", "-rf", FOLDER, "/var/lib/cni/networks"])
    left = [line for line in diff_dumps(before, node.dump()).splitlines() if "/var/lib/cni" not in line and "files./etc/cni" not in line]
    assert not left


def test_no_service_is_lost_between_all_bridges_and_a_single_one(plugin_node):
    """A new connection every few milliseconds while the switches change places, four times each way."""
    node = plugin_node
    run = {"kubenet_bridge": {"pod_cidrs": [IPV4]}, "masquerade": {"cluster_cidrs": ["10.244.0.0/16"]}}
    have(node, "node_network", sysctl_bridge_nf={}, **run)
    with node.pod("a") as a, node.pod("b") as b, b.serve_tcp(80):
        node.run(["iptables", "-t", "nat", "-A", "PREROUTING", "-d", SERVICE4, "-p", "tcp", "--dport", "80", "-j", "DNAT",
                  "--to-destination", f"{b.ip4}:80"])
        asking = a.popen(["python3", "-c", CONNECT, SERVICE4], stdin=-1, stdout=-1, stderr=-1)
        assert asking.stdout.readline() == "ready\n"
        for options in ({"bridges": ["cbr0"]}, {}) * 4:
            done = node.module("node_network", {"sysctl_bridge_nf": options, **run})
            order = [change["resource"] for change in done["changes"]]
            switched, for_all = order.index("bridge_nf:cbr0"), order.index("sysctl:net/bridge/bridge-nf-call-iptables")
            assert (switched < for_all) is bool(options), "what is switched on comes before what is switched off"
        made, lost = json.loads(asking.communicate("\n")[0])
    assert lost == 0 and made > 100


CONNECT = """
import json, select, socket, sys, time
made = lost = 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    made += 1
    try:
        with socket.create_connection((sys.argv[1], 80), timeout=0.5):
            pass
    except OSError:
        lost += 1
    time.sleep(0.002)
print(json.dumps([made, lost]))
"""


def test_rules_against_duplicates_follow_the_switches(plugin_node):
    """They would drop what goes to services where the firewall does not see the bridge, so they go with the run that gives switches back."""
    node, bridge = plugin_node, {**BRIDGE, "hairpin_mode": "promiscuous-bridge"}
    single, other, unmanaged, absent = {"bridges": ["cbr0"]}, {"bridges": ["other"]}, {"bridge_nf": "unmanaged"}, {"state": "absent"}
    for options in (single, other, {}, unmanaged, single, unmanaged, {}, absent, single, absent):
        have(node, "node_network", sysctl_bridge_nf=options, kubenet_bridge=bridge)
        seen = "1" in values(node) + switches(node, "cbr0")
        assert seen is (options in ({}, single))
        assert ("kubenode_dedup_cbr0" in node.run(["nft", "list", "tables"]).stdout) is seen, options


def test_switches_of_a_promiscuous_bridge_that_are_changed_by_themselves(node):
    bridge = {**BRIDGE, "hairpin_mode": "promiscuous-bridge"}
    for options, word in (({"bridge_nf": "enabled"}, "without"), ({"state": "absent"}, "with")):
        have(node, "kubenet_bridge", **bridge)
        warned = have(node, **options)["warnings"]
        said = f"cbr0 is a promiscuous-bridge {word} rules against duplicates, which does not fit any more; run kubenet_bridge again"
        assert warned == [f"sysctl_bridge_nf: {said}"]
    have(node, "kubenet_bridge", **bridge)
    assert "warnings" not in have(node, state="absent")


def test_what_another_tool_switches_is_drift(plugin_node):
    node = plugin_node
    have(node, "node_network", sysctl_bridge_nf={"bridges": ["cbr0"]}, kubenet_bridge=BRIDGE)
    node.run(["sh", "-c", "echo 0 > /sys/class/net/cbr0/bridge/nf_call_ip6tables; echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables"])
    done = have(node, "node_network", sysctl_bridge_nf={"bridges": ["cbr0"]}, kubenet_bridge=BRIDGE)
    assert [change["resource"] for change in done["changes"]] == ["bridge_nf:cbr0", "sysctl:net/bridge/bridge-nf-call-iptables"]
    assert (values(node), switches(node, "cbr0")) == ("000", "111")


def test_switches_that_were_found_come_back(node):
    node.ip("link add br7 type bridge")
    node.run(["sh", "-c", "echo 1 > /sys/class/net/br7/bridge/nf_call_ip6tables"])
    before = node.dump()
    have(node, bridges=["br7"], bridge_nf_call_ip6tables=False)
    assert switches(node, "br7") == "101"
    have(node, state="absent")
    assert not diff_dumps(before, node.dump())


def test_a_bridge_that_comes_later_without_udev_is_said(node):
    done = have(node, bridges=["cni0"])
    assert done["warnings"] == ["sysctl_bridge_nf: the bridge cni0 is not there, and without udev nothing sets it when it comes; another run then does"]
    node.ip("link add cni0 type bridge")
    assert not have(node, bridges=["cni0"]).get("warnings")
    assert switches(node, "cni0") == "111"
    have(node, state="absent")
    assert switches(node, "cni0") == "000"


# udev, the real one


def test_a_bridge_that_comes_with_the_first_pod_is_switched_by_udev(plugin_node):
    node = plugin_node
    node.write(f"{FOLDER}/10-a.conflist", network("a", "bridge", bridge="cni0", isGateway=True, ipam={
        "type": "host-local", "ranges": [[{"subnet": IPV4}], [{"subnet": IPV6}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}))
    with Udev(node) as udev:
        done = have(node, bridges=["cni0"], bridge_nf_call_arptables=False)
        assert not done.get("warnings")
        with node.pod("a") as a, node.pod("b") as b:
            udev.settle()
            assert switches(node, "cni0") == "110"
            node.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
            assert serve(node, a, b) == [True, True]
        have(node, bridges=["cni0"], bridge_nf_call_arptables=False)
        node.ip("link delete cni0")
        have(node, bridges=["cni0"], bridge_nf_call_arptables=False)
        node.ip("link add cni0 type bridge", "link add virbr1 type bridge")
        udev.settle()
        assert (switches(node, "cni0"), switches(node, "virbr1")) == ("110", "000")
        have(node, bridges=["cni0"], bridge_nf_call_arptables=False)
        have(node, state="absent")
        assert switches(node, "cni0") == "000" and not node.exists("/etc/udev/rules.d/99-kubenode-network.rules")


def test_a_module_that_is_loaded_late_gets_its_values_again(node):
    """The kernel of the tests has the module built in, so its event is one of another module by the same rule; the program that
    the rule names is run as udev would run it."""
    with Udev(node) as udev:
        have(node)
        rules = node.read("/etc/udev/rules.d/99-kubenode-network.rules")
        program = f"{next(filter(node.exists, SYSTEMD_SYSCTL))} --prefix=/net/bridge"
        assert rules.splitlines()[1] == f'ACTION=="add", SUBSYSTEM=="module", KERNEL=="br_netfilter", RUN+="{program}"'
        node.write("/etc/udev/rules.d/99-kubenode-network.rules", rules.replace("br_netfilter", "bridge"))
        assert f"run: '{program}'" in udev.test("/sys/module/bridge")
    node.run(["sysctl", "-qw", *(f"net.bridge.bridge-nf-call-{table}=0" for table in CALLS), "net.ipv4.ip_forward=0"])
    node.run(program.split())
    assert (values(node), node.read("/proc/sys/net/ipv4/ip_forward")) == ("111", "0\n"), "what is not of the module is not touched"


# A container


def test_kernel_parameters_that_are_read_only(node):
    node.run(["mount", "--bind", "/proc/sys", "/proc/sys"])
    node.run(["mount", "-o", "remount,bind,ro", "/proc/sys"])
    before = node.dump()
    text = ("nothing was changed: the kernel's parameters (/proc/sys) are read-only here, as they are in containers, and "
            "net.bridge.bridge-nf-call-iptables = 1, net.bridge.bridge-nf-call-ip6tables = 1, net.bridge.bridge-nf-call-arptables = 1, "
            "net.ipv4.ip_forward = 1 would have to be set (expected to run on the host, or in a container that may set them, e.g. with podman's "
            "--security-opt unmask=ALL or docker's --privileged; or to set them from outside first)")
    for check in (True, False):
        assert node.module("sysctl_bridge_nf", {}, check=check)["msg"] == text
    result = node.module("node_network", {"sysctl_bridge_nf": {}, "kubenet_bridge": BRIDGE})
    assert result["msg"].startswith("nothing was changed: sysctl_bridge_nf: the kernel's parameters (/proc/sys) are read-only here")
    assert not diff_dumps(before, node.dump())
    node.run(["umount", "/proc/sys"])
    node.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", *(f"net.bridge.bridge-nf-call-{table}=1" for table in CALLS)])
    node.run(["mount", "-o", "bind", "/proc/sys", "/proc/sys"])
    node.run(["mount", "-o", "remount,bind,ro", "/proc/sys"])
    have(node)
    have(node, bridge_nf="unmanaged")
    have(node, state="absent")


def test_values_that_cannot_be_given_back(node):
    have(node)
    before = node.dump()
    node.run(["mount", "--bind", "/proc/sys", "/proc/sys"])
    node.run(["mount", "-o", "remount,bind,ro", "/proc/sys"])
    result = node.module("sysctl_bridge_nf", {"state": "absent"})
    assert result["msg"].startswith("nothing was changed: the kernel's parameters (/proc/sys) are read-only here")
    assert "net.ipv4.ip_forward = 0" in result["msg"] and not diff_dumps(before, node.dump())


def test_keys_that_come_with_the_module_are_not_taken_for_read_only(node):
    """As on a node that has not loaded br_netfilter yet: /proc/sys can be written to, although access(2) denies that of its folders."""
    node.run(["mount", "-t", "tmpfs", "none", "/proc/sys/net/bridge"])
    result = node.module("sysctl_bridge_nf", {}, check=True)
    assert not result.get("failed"), result
    assert "sysctl:net/bridge/bridge-nf-call-iptables" in [change["resource"] for change in result["changes"]]
    node.run(["mount", "--bind", "/proc/sys", "/proc/sys"])
    node.run(["mount", "-o", "remount,bind,ro", "/proc/sys"])
    assert "net.bridge.bridge-nf-call-iptables = 1" in node.module("sysctl_bridge_nf", {}, check=True)["msg"]


def test_switches_of_bridges_that_are_read_only(node):
    """Whether the bridge is there, or comes with the run: nothing is begun that could not be done."""
    node.run(["mount", "--bind", "/sys", "/sys"])
    node.run(["mount", "-o", "remount,bind,ro", "/sys"])
    sections = {"sysctl_bridge_nf": {"bridges": ["cbr0"]}, "kubenet_bridge": BRIDGE, "networks": []}
    before = node.dump()
    assert "nf_call_* of cbr0 in /sys would have to be set" in node.module("node_network", sections)["msg"]
    assert not diff_dumps(before, node.dump())
    node.ip("link add cbr0 type bridge")
    assert "nf_call_* of cbr0 in /sys would have to be set" in node.module("node_network", sections)["msg"]
