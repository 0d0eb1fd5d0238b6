# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Masquerade with each backend: what a receiver sees, what drift is found, and no instant without it while anything changes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from concurrent import futures

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._sections import masquerade as section
from testbed import CHECKOUT, NewFlows, Node, ProofError, diff_dumps, proof, wait_for

IPV4, IPV6 = "10.244.1.0/24", "fd00:10:244:1::/64"
BACKENDS = ("iptables-nft", "iptables-legacy", "nftables")
FAMILIES = ("ipv4", "ipv6")
OPTIONS = {"pod_cidrs": [IPV4, IPV6], "cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"], "node_cidrs": ["192.0.2.88", "2001:db8:0:1::88"]}
ABSENT = {"state": "absent"}
KUBENET = '"kubenet: SNAT for outbound traffic from cluster"'
PROGRAMS = CHECKOUT / "build" / "programs"
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def done(result):
    assert not result.get("failed"), result["msg"]
    return [change["resource"] for change in result["changes"] if not change["resource"].startswith("document:")]


def masquerade(node, check=False, **options):
    return node.module("masquerade", {**OPTIONS, **options}, check=check)


def shell(node, *lines):
    node.run(["sh", "-ec", "\n".join(lines)])


@pytest.fixture
def pod_node(plugin_node):
    """A node with a bridge for both families, on which pods get out by a default route."""
    done(plugin_node.module("node_network", {"sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": [IPV4, IPV6]}}))
    return plugin_node


def add_foreign(node):
    node.add_foreign()
    node.ip("addr del 2001:db8:0:1::77/64 dev eth0")  # of two, the kernel would take this one as the source


def rules_of(node):
    """The packet filters and files of a node. x_tables keep a table that was once asked for: an empty one is none."""
    builtin = {":PREROUTING ACCEPT", ":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT", ":POSTROUTING ACCEPT"}
    dump = node.dump()
    legacy = {name: {table: lines for table, lines in dump[name].items() if set(lines) - builtin} for name in dump if name.endswith("-legacy-save")}
    return {name: dump[name] for name in ("nft", "files", "iptables-nft-save", "ip6tables-nft-save", "ebtables-nft-save")} | legacy


@contextlib.contextmanager
def pod_of(node, name="pod"):
    with node.pod(name) as pod:
        wait_for(lambda: pod.run(["ping", "-c1", "-W1", "fd00:10:244:1::1"], check=False).returncode == 0, what="the pod's IPv6")
        yield pod


@contextlib.contextmanager
def new_flows(node, pod):
    """New flows of both families to the outside all the while; at the end, that none was lost or left with the pod's address."""
    outside = node.outside
    with NewFlows(pod, outside, outside.ip4, 9001) as four, NewFlows(pod, outside, outside.ip6, 9002) as six:
        time.sleep(0.3)
        yield
        time.sleep(0.3)
    assert min(four.sent, six.sent) > 50
    assert (dict(four.sources), dict(six.sources)) == ({node.ip4: four.sent}, {node.ip6: six.sent})


def test_the_stream_sees_a_rule_that_is_gone_for_an_instant(pod_node):
    """What the tests below rely on."""
    done(masquerade(pod_node, backend="iptables-nft"))
    with pod_of(pod_node) as pod, pytest.raises(AssertionError, match=pod.ip4), new_flows(pod_node, pod):
        shell(pod_node, "iptables-save -t nat > /run/saved", "sleep 0.3", "iptables -t nat -F POSTROUTING", "sleep 0.1",
              "iptables-restore < /run/saved", "sleep 0.3")


# What is masqueraded


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_receiver_sees_the_node_or_the_pod_and_nothing_is_left(pod_node, backend):
    node, outside = pod_node, pod_node.outside
    outside.ip("addr add 192.0.2.88/24 dev lan", "addr add 2001:db8:0:1::88/64 dev lan nodad", "addr add 10.244.9.9/32 dev lo")
    outside.ip(f"route add {IPV4} via {node.ip4}", f"route add {IPV6} via {node.ip6}")
    add_foreign(node)
    found = rules_of(node)
    assert not done(node.module("masquerade", ABSENT))
    result = masquerade(node, backend=backend)
    made = result["masquerade"]
    assert done(masquerade(node, backend=backend)) == []
    assert f"{made['backend']}-{made['variant']}".removesuffix("-None") == backend and made["random_fully"] and len(made["chains"]) == 2
    assert made["non_masquerade_cidrs"] == ["10.244.0.0/16", "192.0.2.88/32", "2001:db8:0:1::88/128", "fd00:10:244::/48"]
    with pod_of(node) as pod, node.pod("other") as other:
        places = {outside.ip4: node.ip4, outside.ip6: node.ip6, "192.0.2.88": pod.ip4, "2001:db8:0:1::88": pod.ip6, "10.244.9.9": pod.ip4}
        with outside.serve_udp(9003), outside.serve_tcp(9003):
            seen = {host: (proof.udp(pod, host, 9003)["source"], proof.tcp(pod, host, 9003)["source"]) for host in places}
        with other.serve_udp(9003):
            assert proof.udp(pod, other.ip4, 9003)["source"] == pod.ip4
        assert seen == {host: (source, source) for host, source in places.items()}
    assert done(node.module("masquerade", ABSENT))
    assert not diff_dumps(found, rules_of(node))


@pytest.mark.parametrize("more", [{}, {"accept_forwarded": True}], ids=["", "accept_forwarded"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_node_without_any_rules_has_none_afterwards(node, backend, more):
    """Nor with a table of iptables that has other chains and not the one that we need."""
    for _turn in range(2):
        found = rules_of(node)
        assert done(masquerade(node, backend=backend, **more))
        assert done(node.module("masquerade", ABSENT))
        assert not diff_dumps(found, rules_of(node))
        shell(node, "iptables-nft -t nat -A PREROUTING -p tcp -j ACCEPT", "iptables-nft -A INPUT -j ACCEPT")


def test_a_table_of_others_that_is_gone_is_not_made_again(node):
    shell(node, "nft add table ip nat")
    assert done(masquerade(node, backend="iptables-nft"))
    shell(node, "nft delete table ip nat")
    assert done(node.module("masquerade", ABSENT))
    assert "table ip nat" not in node.run(["nft", "list", "tables"]).stdout
    assert done(node.module("masquerade", ABSENT)) == []


def test_tables_with_flags_are_of_no_account(node):
    """nft 1.0.6 writes anything for the flags of a table in JSON."""
    shell(node, *(f"nft 'add table {family} odd {{ flags dormant; }}'" for family in ("ip", "inet", "bridge")))
    found = node.run(["nft", "list", "ruleset"]).stdout
    assert done(masquerade(node, backend="iptables-nft")) and done(masquerade(node, backend="iptables-nft")) == []
    assert done(node.module("masquerade", ABSENT))
    assert node.run(["nft", "list", "ruleset"]).stdout == found


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_what_the_document_holds_is_enough_to_make_the_same(node, backend):
    """With nothing left to be found out: the options that the section makes of it mean what is there."""
    kubenet_rules(node, "iptables-legacy", "10.0.0.0/8")
    shell(node, "iptables-legacy -P FORWARD DROP")
    masquerade(node, backend=backend, adopt=["kubenet"], accept_forwarded=True, non_masquerade_cidrs=["ip-masq-agent"])
    desired = json.loads(node.read("/etc/kubenode-network/node.json"))["sections"]["masquerade"]["node"]["desired"]
    options = section.resolved(desired)
    assert options["backend"] in BACKENDS
    result = node.module("masquerade", {name: value for name, value in options.items() if value is not None})
    assert done(result) == []
    assert result["masquerade"]["because"] == "it was asked for"


@pytest.mark.parametrize("backend", BACKENDS)
def test_lists_by_name_and_changed_lists_leave_no_old_rule(node, backend):
    masquerade(node, backend=backend, non_masquerade_cidrs=["192.168.7.0/24", "ip-masq-agent"])
    assert masquerade(node, backend=backend)["changed"]
    changed = node.dump()
    done(node.module("masquerade", ABSENT))
    masquerade(node, backend=backend)
    again = node.dump()
    for dump in (changed, again):
        dump["files"].pop("/etc/kubenode-network/node.json")
    assert not diff_dumps(changed, again)
    result = masquerade(node, backend=backend, non_masquerade_cidrs=["ip-masq-agent"], cluster_cidrs=None, node_cidrs=None)
    assert result["masquerade"]["non_masquerade_cidrs"] == ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", IPV6]


# Drift

TOOL = {"ipv4": "iptables", "ipv6": "ip6tables"}
POD = {"ipv4": IPV4, "ipv6": IPV6}
OTHER = {"ipv4": "10.99.0.0/16", "ipv6": "fd99::/16"}
#: What somebody does to our rules; {t} is the tool with the table, {c} our chain, {j} our jump's words, {p} pods, {o} others.
IPTABLES_DRIFTS = {
    "rules gone": ["{t} -F {c}"],
    "all gone": ["{t} -F"],
    "chain gone": ["{t} -D POSTROUTING {j}", "{t} -F {c}", "{t} -X {c}"],
    "masquerade first": ["{t} -I {c} -j MASQUERADE"],
    "order": ["{t} -D {c} -j MASQUERADE --random-fully", "{t} -I {c} -j MASQUERADE --random-fully"],
    "stale exception": ["{t} -I {c} 2 -d {o} -j RETURN"],
    "exception gone": ["{t} -D {c} 1"],
    "rule behind": ["{t} -A {c} -j ACCEPT"],
    "doubled rule": ["{t} -I {c} 1 $({t} -S {c} 1 | cut -d' ' -f3-)"],
    "not random": ["{t} -D {c} -j MASQUERADE --random-fully", "{t} -A {c} -j MASQUERADE"],
    "jump gone": ["{t} -D POSTROUTING {j}"],
    "jump doubled": ["{t} -A POSTROUTING {j}"],
    "jump for others": ["{t} -A POSTROUTING -s {o} -j {c}"],
    "jump from elsewhere": ["{t} -A OTHERS {j}"],
    "jump moved elsewhere": ["{t} -D POSTROUTING {j}", "{t} -A OTHERS {j}"],
    "jump to the rules without return": ["{t} -D POSTROUTING {j}", "{t} -A POSTROUTING -s {p} -g {c}"],
}
T = "{f} kubenode_masquerade"
NFT_DRIFTS = {
    "rules gone": [f"nft flush chain {T} pods"],
    "all gone": [f"nft flush table {T}"],
    "chain gone": [f"nft flush table {T}", f"nft delete chain {T} pods"],
    "table gone": [f"nft delete table {T}"],
    "masquerade first": [f"nft insert rule {T} pods masquerade fully-random"],
    "stale exception": [f"nft insert rule {T} pods {{f}} daddr {{o}} return"],
    "rule behind": [f"nft add rule {T} pods accept"],
    "not random": [f"nft flush chain {T} pods", f"nft add rule {T} pods masquerade"],
    "jump doubled": [f"nft add rule {T} postrouting {{f}} saddr {{p}} jump pods"],
    "jump for others": [f"nft add rule {T} postrouting {{f}} saddr {{o}} jump pods"],
    "jump behind": [f"nft insert rule {T} postrouting {{f}} saddr {{p}} accept"],
    "counter": [f"nft insert rule {T} postrouting counter"],
    "set": [f"nft 'add set {T} s {{{{ type inet_service; }}}}'"],
    "chain": [f"nft add chain {T} more"],
    "base chain": [f"nft 'add chain {T} more {{{{ type filter hook postrouting priority 0; policy accept; }}}}'"],
    "policy": [f"nft 'chain {T} postrouting {{{{ policy drop; }}}}'"],
    "dormant": [f"nft 'table {T} {{{{ flags dormant; }}}}'"],
    "priority": [f"nft flush table {T}", f"nft delete chain {T} postrouting",
                 f"nft 'add chain {T} postrouting {{{{ type nat hook postrouting priority 200; policy accept; }}}}'"],
}


def drifts():
    for backend in BACKENDS:
        for name, lines in (NFT_DRIFTS if backend == "nftables" else IPTABLES_DRIFTS).items():
            yield pytest.param(backend, name, lines, id=f"{backend}-{name}")


@pytest.fixture(scope="module")
def drifting():
    """A node, and how it is with each backend."""
    with Node(uplink=False) as node:
        shell(node, *(f"{tool}-{variant} -t nat -N OTHERS" for tool in TOOL.values() for variant in ("nft", "legacy")))
        yield node, {}


@pytest.mark.parametrize(("backend", "name", "lines"), list(drifts()))
def test_drift_is_found_and_mended(drifting, backend, name, lines):
    node, states = drifting
    done(masquerade(node, backend=backend))
    right = states[backend] if backend in states else states.setdefault(backend, node.dump())
    for family in FAMILIES:
        tool = f"{TOOL[family]}-{backend.partition('-')[2]} -t nat"
        jump = f"-s {POD[family]} -m comment --comment 'kubenode.network: pods to outside the cluster' -j KUBENODE-MASQ"
        words = {"t": tool, "c": "KUBENODE-MASQ", "j": jump, "p": POD[family], "o": OTHER[family], "f": "ip" if family == "ipv4" else "ip6"}
        shell(node, *(line.format(**words) for line in lines))
        announced = masquerade(node, check=True, backend=backend)
        mended = masquerade(node, backend=backend)
        assert done(mended) == [f"masquerade:{backend}/{family}"], name
        assert (announced["changes"], announced["diff"]) == (mended["changes"], mended["diff"])
        assert mended["diff"][0]["before"] != mended["diff"][0]["after"]
    assert not diff_dumps(right, node.dump())


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_a_jump_that_no_packet_of_pods_reaches_is_moved(pod_node, backend):
    """And not where others only made rules before it that let packets of pods by."""
    node, tool = pod_node, f"{backend} -t nat"
    done(masquerade(node, backend=backend))
    shell(node, f"{tool} -I POSTROUTING -s 10.244.1.7/32 -j ACCEPT", f"{tool} -I POSTROUTING -o lo -j ACCEPT")
    assert done(masquerade(node, backend=backend)) == []
    shell(node, f"{tool} -I POSTROUTING 2 -s 10.244.0.0/16 -j RETURN")
    with pod_of(node) as pod, node.outside.serve_udp(9003) as server:
        with pytest.raises(ProofError):
            proof.udp(pod, node.outside.ip4, 9003, timeout=1)
        assert done(masquerade(node, backend=backend)) == [f"masquerade:{backend}/ipv4"]
        assert proof.udp(pod, node.outside.ip4, 9003)["source"] == node.ip4
        assert [request["source"] for request in server.stop()] == [pod.ip4, node.ip4]
    rules = node.run(["sh", "-c", f"{tool} -S POSTROUTING"]).stdout.splitlines()[1:]
    assert [rule.split()[-1] for rule in rules] == ["ACCEPT", "KUBENODE-MASQ", "RETURN", "ACCEPT"]
    assert done(masquerade(node, backend=backend)) == []


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_rules_of_others_that_only_count(node, backend):
    """They have no target, and need not have any words at all."""
    for chain in ("-t nat -A POSTROUTING", "-A FORWARD"):
        for words in ("", "-m comment --comment x", "-m comment --comment IP-MASQ-AGENT", f"-s {IPV4}", f"-s {IPV4} -m comment --comment 'x y'"):
            shell(node, f"{backend} {chain} {words}")
    found = node.dump()
    result = masquerade(node, backend=backend, accept_forwarded=True)
    assert done(result) and not result.get("warnings")
    assert not masquerade(node, backend=backend, accept_forwarded=True)["changed"]
    done(node.module("masquerade", ABSENT))
    tables = ("iptables-nft-save", "iptables-legacy-save")
    assert [node.dump()[name] for name in tables] == [found[name] for name in tables]


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_a_jump_behind_one_that_does_not_come_back_is_moved(node, backend):
    done(masquerade(node, backend=backend))
    shell(node, f"{backend} -t nat -N OTHERS", f"{backend} -t nat -I POSTROUTING -s 10.244.0.0/16 -g OTHERS")
    assert done(masquerade(node, backend=backend)) == [f"masquerade:{backend}/ipv4"]
    rules = node.run([backend, "-t", "nat", "-S", "POSTROUTING"]).stdout.splitlines()[1:]
    assert [rule.split()[-1] for rule in rules] == ["KUBENODE-MASQ", "OTHERS"]
    assert done(masquerade(node, backend=backend)) == []


@pytest.mark.parametrize("ours", [
    ("table ip kubenode_masquerade { set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 1.2.3.4 } }\n"
     "chain c { type nat hook postrouting priority 100; ip saddr @s counter masquerade; }\n}\n"),
    "table ip kubenode_masquerade {\n}\n",
])
def test_a_table_of_our_name_is_given_back(node, ours):
    node.run(["nft", "-f", "-"], input=ours)
    found = node.dump()
    for options in ({}, {"cluster_cidrs": ["10.0.0.0/8"]}):
        assert done(masquerade(node, backend="nftables", **options))
    assert done(node.module("masquerade", ABSENT))
    assert not diff_dumps(found, node.dump())


# From one to another


def test_each_change_of_backend_leaves_no_instant_without(pod_node):
    node = pod_node
    add_foreign(node)
    found = rules_of(node)
    orders = [("iptables-nft", "iptables-legacy", "nftables", "iptables-nft"), ("nftables", "iptables-legacy", "iptables-nft", "nftables")]
    with pod_of(node) as pod:
        for order in orders:
            done(masquerade(node, backend=order[0]))
            for before, after in zip(order, order[1:], strict=False):
                with new_flows(node, pod):
                    changed = done(masquerade(node, backend=after))
                assert [name for name in changed if before in name] and [name for name in changed if after in name]
                assert done(masquerade(node, backend=after)) == []
    done(node.module("masquerade", ABSENT))
    assert not diff_dumps(found, rules_of(node))


@pytest.mark.parametrize("backend", ["iptables", "auto"])
def test_another_alternative_is_noticed(pod_node, backend):
    node = pod_node
    with pod_of(node) as pod:
        for variant in ("nft", "legacy", "nft"):
            node.use_iptables(variant)
            with new_flows(node, pod) if variant == "legacy" else contextlib.nullcontext():
                result = masquerade(node, backend=backend)
            assert (result["masquerade"]["backend"], result["masquerade"]["variant"]) == ("iptables", variant), result["masquerade"]["because"]
            held = {v: "KUBENODE" in node.run([f"iptables-{v}-save"]).stdout + node.run([f"ip6tables-{v}-save"]).stdout for v in ("nft", "legacy")}
            assert held == {v: v == variant for v in held}
            assert done(masquerade(node, backend=backend)) == []


def test_changed_lists_leave_no_instant_without(pod_node):
    node = pod_node
    with pod_of(node) as pod:
        for backend in BACKENDS:
            done(masquerade(node, backend=backend))
            with new_flows(node, pod):
                for number in range(4):
                    assert done(masquerade(node, backend=backend, non_masquerade_cidrs=[f"10.{number}.0.0/16", f"fd00:{number}::/32"]))


# kubenet


def kubenet_rules(node, tool, *cidrs):
    """As the kubelet made them, between rules of others."""
    shell(node, f"{tool} -t nat -A POSTROUTING -o first -j ACCEPT",
          *(f"{tool} -t nat -A POSTROUTING -m comment --comment {KUBENET} -m addrtype ! --dst-type LOCAL ! -d {cidr} -j MASQUERADE" for cidr in cidrs),
          f"{tool} -t nat -A POSTROUTING -o last -j ACCEPT")


@pytest.mark.parametrize("theirs", ["nft", "legacy"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_rules_of_an_old_kubelet_are_taken_over_and_given_back(pod_node, backend, theirs):
    """Also both that it left when its CIDR changed."""
    node = pod_node
    kubenet_rules(node, f"iptables-{theirs}", "10.0.0.0/8", "10.244.0.0/16")
    kubenet_rules(node, f"ip6tables-{theirs}", "fd00::/8")
    add_foreign(node)
    found = rules_of(node)
    with pod_of(node) as pod:
        left = masquerade(node, backend=backend)
        assert {(one["backend"], one["family"], len(one["rules"])) for one in left["masquerade"]["others"]} == {
            (f"iptables-{theirs}", "ipv4", 2), (f"iptables-{theirs}", "ipv6", 1)}
        assert all("adopt: [kubenet] takes them over" in text for text in left["warnings"]) and len(left["warnings"]) == 2
        done(node.module("masquerade", ABSENT))
        with new_flows(node, pod):
            taken = masquerade(node, backend=backend, adopt=["kubenet"])
        assert done(taken)[-2:] == [f"kubenet_rules:iptables-{theirs}/{family}" for family in FAMILIES]
        assert "kubenet: SNAT" not in str({**node.dump(), "files": None})
        for _again in range(2):
            result = masquerade(node, backend=backend, adopt=["kubenet"])
            assert done(result) == [] and not result.get("warnings")
            assert [len(one["rules"]) for one in result["masquerade"]["adopted"]] == [2, 1]
        with new_flows(node, pod):
            assert done(masquerade(node, backend=backend)) == [f"kubenet_rules:iptables-{theirs}/{family}" for family in FAMILIES[::-1]]
            done(masquerade(node, backend=backend, adopt=["kubenet"]))
        with new_flows(node, pod):
            done(node.module("masquerade", ABSENT))
    assert not diff_dumps(found, rules_of(node))


def test_a_kubelet_that_still_runs_makes_its_rule_anew_and_it_is_taken_again(node):
    kubenet_rules(node, "iptables", "10.0.0.0/8")
    done(masquerade(node, adopt=["kubenet"]))
    kubenet_rules(node, "iptables", "10.0.0.0/8")
    assert done(masquerade(node, adopt=["kubenet"])) == ["kubenet_rules:iptables-nft/ipv4"]


@pytest.mark.parametrize(("chain", "agent"), [("IP-MASQ-AGENT", "ip-masq-agent"), ("KIND-MASQ-AGENT", "kindnet")])
def test_agents_that_masquerade_too_are_named(node, chain, agent):
    jump = f"iptables-legacy -t nat -A POSTROUTING -m addrtype ! --dst-type LOCAL {{}} -j {chain}"
    shell(node, f"iptables-legacy -t nat -N {chain}", jump.format("-s 10.9.0.0/16"), jump.format("! -s 10.244.0.0/16"))
    assert not masquerade(node).get("warnings")
    shell(node, jump.format(""))
    found = node.dump()
    result = masquerade(node)
    assert f"the chain {chain} of {agent}" in result["warnings"][0]
    assert result["masquerade"]["others"] == [
        {"backend": "iptables-legacy", "family": "ipv4", "rules": [f"-A POSTROUTING -m addrtype ! --dst-type LOCAL -j {chain}"]}]
    assert found["iptables-legacy-save"] == node.dump()["iptables-legacy-save"]


# Which one

KUBE_PROXY = "nft 'add table ip kube-proxy; add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100; }'"
CNI_NFT = "nft 'add table inet cni_plugins_masquerade; add chain inet cni_plugins_masquerade masq_checks'"
KUBE = "iptables-{} -t nat -N KUBE-SERVICES"
CNI = "ip6tables-{} -t nat -N CNI-HOSTPORT-DNAT"


@pytest.mark.parametrize(("hidden", "lines", "backend", "because"), [
    ([], [], "iptables-nft", "the node's iptables is iptables-nft, and neither kube-proxy nor a CNI plugin has rules yet"),
    (["nft"], [], "iptables-nft", "the node's iptables is iptables-nft, and neither"),
    (["iptables-nft"], [], "nftables", "the node has no command iptables"),
    (["iptables-nft", "iptables-legacy"], [], "nftables", "nothing else is installed"),
    (["iptables-nft", "nft"], [], "iptables-legacy", "nothing else is installed"),
    ([], [KUBE_PROXY], "nftables", "kube-proxy uses nftables"),
    ([], [KUBE.format("nft"), KUBE_PROXY], "nftables", "kube-proxy uses nftables"),
    ([], [CNI_NFT], "nftables", "cni_plugins_masquerade is there"),
    ([], [CNI_NFT, KUBE.format("nft")], "iptables-nft", "KUBE-SERVICES is there"),
    ([], [KUBE.format("legacy")], "iptables-legacy", "KUBE-SERVICES is there"),
    ([], [CNI.format("legacy")], "iptables-legacy", "CNI-HOSTPORT-DNAT is there"),
    ([], [KUBE.format("legacy"), CNI.format("nft")], "iptables-nft", "CNI-HOSTPORT-DNAT is there"),
    (["nft"], [KUBE.format("nft"), KUBE.format("legacy")], "iptables-nft", "KUBE-SERVICES is there"),
    ([], ["iptables-legacy -A INPUT -j ACCEPT"], "iptables-legacy", "legacy tables are in use, and iptables has none in nf_tables"),
    ([], ["iptables-legacy -A INPUT -j ACCEPT", "iptables-nft -A INPUT -j ACCEPT"], "iptables-nft", "the node's iptables is iptables-nft"),
])
def test_auto_takes_what_others_use(hidden, lines, backend, because):
    with Node(uplink=False) as node:
        shell(node, *lines)
        node.hide(*hidden)
        found = node.dump() if "nft" not in hidden else None
        made = masquerade(node, check=True)["masquerade"]
        assert (made["backend"], made["variant"]) == (backend.partition("-")[0], backend.partition("-")[2] or None)
        assert made["because"].startswith(because)
        assert found is None or not diff_dumps(found, node.dump())
        assert done(masquerade(node))
        again = masquerade(node)
        assert done(again) == [] and [again["masquerade"][name] for name in ("backend", "variant")] == [made["backend"], made["variant"]]


def test_auto_keeps_what_it_chose_until_there_is_a_reason(node):
    def chosen():
        made = masquerade(node)["masquerade"]
        return f"{made['backend']}-{made['variant']}", made["because"]

    assert chosen()[0] == "iptables-nft"
    shell(node, KUBE.format("nft"))
    assert chosen() == ("iptables-nft", "KUBE-SERVICES is there, too")
    shell(node, KUBE_PROXY, KUBE.format("legacy"), CNI_NFT)
    assert chosen() == ("iptables-nft", "KUBE-SERVICES is there, too")
    shell(node, "iptables-nft -t nat -X KUBE-SERVICES", "iptables-legacy -t nat -X KUBE-SERVICES")
    assert chosen() == ("nftables-None", "kube-proxy uses nftables")
    shell(node, CNI.format("nft"))
    assert chosen() == ("nftables-None", "kube-proxy is there, too")
    shell(node, "nft delete table ip kube-proxy", "nft delete table inet cni_plugins_masquerade", "ip6tables-nft -t nat -X")
    assert chosen() == ("nftables-None", "it was chosen before, and nothing speaks for another one")


NOT_THERE = "which this node does not have or its kernel cannot serve"


@pytest.mark.parametrize(("hidden", "options", "text"), [
    (["iptables-nft", "iptables-legacy"], {"backend": "iptables"}, f"backend: 'iptables' needs iptables and ip6tables, {NOT_THERE} (expected nftables)"),
    (["iptables-legacy"], {"backend": "iptables-legacy"}, (f"backend: 'iptables-legacy' needs iptables and ip6tables, {NOT_THERE} "
     "(expected iptables-nft or nftables)")),
    (["nft"], {"backend": "nftables", "pod_cidrs": [IPV4]}, (f"backend: 'nftables' needs nft with JSON, {NOT_THERE} (expected iptables-nft or "
     "iptables-legacy)")),
    (["nft", "iptables-nft", "iptables-legacy"], {}, "backend: auto finds neither iptables nor nft on this node"),
])  # fmt: skip
def test_a_backend_that_is_not_there_is_refused(node, hidden, options, text):
    node.hide(*hidden)
    for check in (True, False):
        result = masquerade(node, check=check, **options)
        assert result["failed"] and text in result["msg"]
    assert not node.exists("/etc/kubenode-network/node.json")


@pytest.mark.parametrize(("backend", "program", "other"), [
    ("iptables-legacy", "tables-legacy-save", "iptables-nft"), ("iptables-nft", "tables-nft-save", "iptables-legacy"), ("nftables", "nft", "iptables-nft"),
])
def test_rules_in_a_variant_that_is_gone_are_not_forgotten(node, backend, program, other):
    done(masquerade(node, backend=backend))
    node.hide("nft" if backend == "nftables" else backend)
    before = node.read("/etc/kubenode-network/node.json")
    for options in (ABSENT, {**OPTIONS, "backend": other}):
        result = node.module("masquerade", options)
        assert f"{program} is not installed on this node, and rules in its tables cannot be seen" in result["msg"]
    assert node.read("/etc/kubenode-network/node.json") == before


def test_nft_may_go_from_a_node_with_rules_of_iptables(node):
    """All that it would be needed for is an empty chain."""
    done(masquerade(node, backend="iptables-nft", accept_forwarded=True))
    node.hide("nft")
    assert done(masquerade(node, backend="iptables-nft", accept_forwarded=True)) == []
    assert not masquerade(node, backend="iptables-nft", accept_forwarded=True)["changed"]
    done(node.module("masquerade", ABSENT))
    assert "KUBENODE" not in node.run(["iptables-nft-save"]).stdout + node.run(["ip6tables-nft-save"]).stdout


def test_a_kernel_without_nf_tables(node):
    """The programs are there and do not work, which is no hindrance to the legacy variant."""
    for program, options in (("nft", ""), ("iptables-nft", "case $* in --version) echo 'iptables v1.8.9 (nf_tables)'; exit;; esac; ")):
        node.write("/run/no-kernel", f"#!/bin/sh\n{options}echo 'Could not fetch rule set generation id: Invalid argument' >&2; exit 4\n", 0o755)
        node.run(["cp", "/run/no-kernel", f"/run/no-{program}"])
        node.run(["sh", "-c", f"mount --bind /run/no-{program} $(readlink -f $(command -v {program}))"])
    refused = masquerade(node, backend="iptables-nft")
    assert f"backend: 'iptables-nft' needs iptables and ip6tables, {NOT_THERE} (expected iptables-legacy)" in refused["msg"]
    for backend in ("auto", "iptables-legacy"):
        made = masquerade(node, backend=backend, accept_forwarded=True, adopt=["kubenet"])
        assert (bool(done(made)), made["masquerade"]["variant"]) == (backend == "auto", "legacy")
    assert done(node.module("masquerade", ABSENT))


# Others at the same time

BUSY = """
import subprocess, sys
tool, turns = sys.argv[1], 0
def call(*words):
    subprocess.run([tool, "-w", "-t", "nat", *words], check=True)
while not (turns and __import__("select").select([0], [], [], 0)[0]):
    call("-I" if turns % 2 else "-A", "POSTROUTING", "-s", f"10.66.{turns % 250}.0/24", "-j", "ACCEPT")
    call("-I", "POSTROUTING", "-o", "busy", "-j", "ACCEPT")
    call("-D", "POSTROUTING", "-o", "busy", "-j", "ACCEPT")
    turns += 1
print(turns)
"""


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_runs_at_once_beside_a_busy_program(node, backend):
    """Nobody's rule is lost, and none of ours is there twice."""
    done(masquerade(node, backend=backend))
    pipe = subprocess.PIPE
    with node.popen([sys.executable, "-c", BUSY, backend], stdin=pipe, stdout=pipe, stderr=pipe) as busy:
        with futures.ThreadPoolExecutor(2) as pool:
            for number in range(6):
                lists = [[f"10.{number}.0.0/16"], [f"10.{number}.0.0/16", "192.0.2.0/24"]]
                runs = [pool.submit(masquerade, node, backend=backend, non_masquerade_cidrs=cidrs) for cidrs in lists]
                assert all(run.result()["changed"] for run in runs)
        out, err = busy.communicate("end\n")
    assert busy.returncode == 0, err
    assert int(out) > 3
    masquerade(node, backend=backend)
    rules = node.run([f"{backend}-save", "-t", "nat"]).stdout
    assert (rules.count("-A POSTROUTING -s 10.66."), rules.count("-j KUBENODE-MASQ"), rules.count("busy")) == (int(out), 1, 0)
    assert done(masquerade(node, backend=backend)) == []


# Hosts that drop what they forward


@pytest.mark.parametrize(("backend", "theirs", "drop"), [
    *((backend, theirs, "-P FORWARD DROP") for backend in BACKENDS for theirs in ("nft", "legacy")),
    *((f"iptables-{theirs}", theirs, "-A FORWARD -j REJECT") for theirs in ("nft", "legacy")),
])
def test_pods_get_through_a_host_that_drops(pod_node, backend, theirs, drop):
    node, outside = pod_node, pod_node.outside
    outside.ip(f"route add {IPV4} via {node.ip4}", f"route add {IPV6} via {node.ip6}")
    shell(node, f"iptables-{theirs} {drop}", f"ip6tables-{theirs} {drop}")
    done(masquerade(node, backend=backend))
    found = rules_of(node)
    with pod_of(node) as pod, pod.serve_tcp(9003), outside.serve_tcp(9003):
        for host in (outside.ip4, outside.ip6):
            with pytest.raises(ProofError):
                proof.tcp(pod, host, 9003, timeout=0.5)
        result = masquerade(node, backend=backend, accept_forwarded=True)
        assert f"iptables-{theirs}: filter KUBENODE-FORWARD" in result["masquerade"]["chains"]
        for host in (outside.ip4, outside.ip6):
            assert proof.tcp(pod, host, 9003)
        for host in (pod.ip4, pod.ip6):
            assert proof.tcp(outside, host, 9003)
    assert done(masquerade(node, backend=backend, accept_forwarded=True)) == []
    shell(node, f"iptables-{theirs} -I FORWARD 1 -j DROP")
    assert done(masquerade(node, backend=backend, accept_forwarded=True)) == [f"forward:iptables-{theirs}/ipv4"]
    shell(node, f"iptables-{theirs} -D FORWARD -j DROP")
    done(masquerade(node, backend=backend))
    assert not diff_dumps(found, rules_of(node))


@pytest.mark.parametrize(("table", "chain"), [("inet", "own"), ("ip", "firewalld")])
def test_what_another_table_drops_is_said_and_not_touched(node, table, chain):
    policy = "accept" if chain == "firewalld" else "drop"
    node.run(["nft", f"add table {table} {chain}; add chain {table} {chain} forwards {{ type filter hook forward priority 10; policy {policy}; }}"])
    result = masquerade(node, backend="nftables", accept_forwarded=True)
    assert f"has no effect on the chain forwards of the nftables table {chain}" in result["warnings"][0]
    assert not [name for name in done(result) if name.startswith("forward")]


# Without iptables


def network(**keys):
    bridge = {"type": "bridge", "bridge": "cni7", "isGateway": True, "ipam": {"type": "host-local", "subnet": "10.245.0.0/24",
              "routes": [{"dst": "0.0.0.0/0"}]}, **keys}
    return {"name": "mynet", "plugins": [bridge, PORTMAP]}


@pytest.mark.parametrize("version", ["1.1.1", "1.9.1"])
def test_a_node_without_iptables(version):
    with Node() as node:
        node.install_plugins(src=str(PROGRAMS / f"cni-plugins-{version}" / "usr" / "lib" / "cni"))
        node.hide("iptables-nft", "iptables-legacy")
        options = {"sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": [IPV4, IPV6]}, "masquerade": {"cluster_cidrs": OPTIONS["cluster_cidrs"]}}
        plain = node.module("node_network", options)
        portmap_alone = node.module("cni_config", {**network(), "priority": 20})
        ip_masq = node.module("cni_config", {**network(ipMasq=True), "priority": 20, "plugins": network(ipMasq=True)["plugins"][:1]})
        if version == "1.1.1":
            wheres = {"kubenet_bridge.plugins[1].backend: not set, and portmap": plain, "plugins[1].backend: not set, and portmap": portmap_alone,
                      "plugins[0].ipMasq: true, and bridge": ip_masq}
            for where, result in wheres.items():
                assert f"{where} runs iptables, which is not installed on this node" in result["msg"]
            options["networks"] = [{"name": "kubenet", "plugins": [{"type": "bridge", "bridge": "cbr0"}]}]
            plain = node.module("node_network", options)
        assert not portmap_alone.get("failed") or version == "1.1.1"
        done(plain)
        assert (plain["masquerade"]["backend"], plain["masquerade"]["because"]) == ("nftables", "nothing else is installed")
        ports = {"portMappings": [{"hostPort": 8081, "containerPort": 9003, "protocol": "tcp"}]}
        with node.pod("pod", capabilities=ports) as pod, node.outside.serve_udp(9003), pod.serve_tcp(9003):
            assert proof.udp(pod, node.outside.ip4, 9003)["source"] == node.ip4
            if version == "1.9.1":
                assert proof.tcp(node.outside, node.ip4, 8081)["source"] == "192.0.2.1"
        assert done(node.module("node_network", options)) == []
        result = node.module("masquerade", ABSENT)
        assert done(result) and "kubenode_masquerade" not in json.dumps(node.dump()["nft"])


def test_a_cluster_without_the_node_s_own_pods_is_told(node):
    result = masquerade(node, cluster_cidrs=["10.0.0.0/8"])
    (text,) = result["warnings"]
    assert f"{IPV6} lies in none of cluster_cidrs (10.0.0.0/8)" in text
    assert not masquerade(node, cluster_cidrs=["10.0.0.0/8", "fd00::/8"]).get("warnings")
    assert not masquerade(node, cluster_cidrs=None, non_masquerade_cidrs=[]).get("warnings")
