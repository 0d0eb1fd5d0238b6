# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes to the pods of other nodes, in a real kernel."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from testbed import ModuleCrash, Node, diff_dumps, program, wait_for
from testbed.paths import link_collection

PROGRAM = "/usr/local/lib/kubenode-network/kubenode-network.pyz"
#: Of the addresses that nodes have on their common network, where a new one begins with .10 and ::10.
ADDRESSES = {"node-1": ["192.0.2.10", "2001:db8:0:1::10"], "node-2": ["192.0.2.12", "2001:db8:0:1::12"], "node-3": ["192.0.2.13", "2001:db8:0:1::13"]}
CIDRS = {name: [f"10.244.{name[-1]}.0/24", f"fd00:10:244:{name[-1]}::/64"] for name in ADDRESSES}
PEERS = {name: {"pod_cidrs": CIDRS[name], "addresses": ADDRESSES[name]} for name in ADDRESSES}


@pytest.fixture
def node():
    with Node() as made:
        yield made


def run(node, peers=PEERS, **options):
    result = node.module("pod_routes", {"node": "node-1", "peers": peers, **options})
    assert not result.get("failed"), result
    return result


def refused(node, peers=PEERS, **options):
    before = node.dump()
    result = node.module("pod_routes", {"node": "node-1", "peers": peers, **options})
    assert result.get("failed") and not diff_dumps(before, node.dump()), result
    return result["msg"]


def ours(node):
    """Prefix -> next hop of the routes that ip(8) shows with our protocol, by its name."""
    shown = [json.loads(node.run(["ip", "-j", f"-{family}", "route", "show", "table", "all", "proto", "kubenode"]).stdout) for family in "46"]
    return {route["dst"]: route.get("gateway", route["dst"]) for routes in shown for route in routes}


def of(*names):
    return {cidr: address for name in names for cidr, address in zip(CIDRS[name], ADDRESSES[name], strict=True)}


def with_peers(**others):
    return {**PEERS, **{name.replace("_", "-"): peer for name, peer in others.items()}}


def without(*names):
    return {name: peer for name, peer in PEERS.items() if name not in names}


def test_routes_come_change_and_go_with_the_nodes(node):
    before = node.dump()
    assert run(node, without("node-3"))["routes"] == {"count": 2, "next_hops": 2, "protocol": 107}
    assert ours(node) == of("node-2")
    added = run(node)
    assert ours(node) == of("node-2", "node-3")
    assert added["changes"][0] == {"resource": "routes:kubenode", "before": {}, "after": of("node-3")}, "what stays is not worth a word"
    assert added["diff"][0]["after"] == "10.244.3.0/24 via 192.0.2.13\nfd00:10:244:3::/64 via 2001:db8:0:1::13\n"
    assert not run(node)["changed"]
    moved = with_peers(node_3={**PEERS["node-3"], "addresses": ["192.0.2.99", "2001:db8:0:1::13"]})
    assert run(node, moved)["changed_resources"] == ["routes:kubenode", "document:/etc/kubenode-network/node.json"]
    assert ours(node) == {**of("node-2", "node-3"), "10.244.3.0/24": "192.0.2.99"}
    run(node, without("node-2"))
    assert ours(node) == of("node-3"), "that of a node that is gone does not stay"
    run(node, without("node-2", "node-3"))
    assert ours(node) == {}
    run(node)
    run(node, state="absent")
    assert not diff_dumps(before, node.dump())


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_one_family_alone(node, family):
    peers = {name: {key: values[family : family + 1] for key, values in peer.items()} for name, peer in PEERS.items()}
    run(node, peers)
    assert ours(node) == {CIDRS[name][family]: ADDRESSES[name][family] for name in ("node-2", "node-3")}


def test_check_mode_says_what_a_run_does(node):
    args = {"node": "node-1", "peers": PEERS}
    before = node.dump()
    foretold = node.module("pod_routes", args, check=True)
    assert not diff_dumps(before, node.dump())
    done = node.module("pod_routes", args)
    told = ("changed", "changes", "plan", "diff", "routes")
    assert [foretold[key] for key in told] == [done[key] for key in told]


def test_the_first_address_that_is_on_link_is_the_next_hop(node):
    run(node, with_peers(node_2={**PEERS["node-2"], "addresses": ["198.51.100.2", "2001:db8:9::2", *ADDRESSES["node-2"], "192.0.2.14"]}))
    assert ours(node) == of("node-2", "node-3")


def test_a_node_without_ranges_has_no_route_yet(node):
    run(node, with_peers(node_3={"pod_cidrs": None, "addresses": ADDRESSES["node-3"]}, node_4={"pod_cidrs": []}))
    assert ours(node) == of("node-2")


# Next hops that cannot be


def test_a_next_hop_behind_a_router_is_refused_with_what_the_router_needs(node):
    far = with_peers(node_2={**PEERS["node-2"], "addresses": ["198.51.100.2", "2001:db8:0:1::12"]})
    said = refused(node, far)
    assert "peers.node-2.addresses: 198.51.100.2 is in no network that this node is connected to by a link that is up (expected " in said
    assert "configure in the router 192.0.2.1 a route to 10.244.2.0/24 via 198.51.100.2" in said
    assert said.count("198.51.100") == 2 and "more" not in said


def test_many_next_hops_behind_a_router_are_one_message(node):
    far = {f"far-{number}": {"pod_cidrs": [f"10.9.{number}.0/24"], "addresses": [f"198.51.100.{number}"]} for number in range(1, 200)}
    said = refused(node, {**PEERS, **far})
    assert "the same for 198 more, far-10, far-100, far-101 and others" in said and len(said) < 600


@pytest.mark.parametrize("lines", [
    ["link set eth1 down"], ["route add 203.0.113.0/25 via 192.0.2.1"], ["route add unreachable 203.0.113.2"], ["address del 203.0.113.9/24 dev eth1"],
], ids=str)  # fmt: skip
def test_a_network_that_does_not_lead_there_is_none(node, lines):
    node.ip("link add eth1 type bridge", "link set eth1 up", "address add 203.0.113.9/24 dev eth1")
    peers = {"node-2": {"pod_cidrs": ["10.244.2.0/24"], "addresses": ["203.0.113.2"]}}
    assert not node.module("pod_routes", {"peers": peers}, check=True).get("failed")
    node.ip(*lines)
    assert "203.0.113.2 is in no network" in refused(node, peers)


def test_the_pods_own_bridge_is_no_way_to_a_node(node):
    assert not node.module("kubenet_bridge", {"name": "cbr0", "pod_cidrs": ["10.244.1.0/24"]}).get("failed")
    peers = {"node-2": {"pod_cidrs": ["10.244.2.0/24"], "addresses": ["10.244.1.9"]}}
    assert "10.244.1.9 is in no network that this node is connected to" in refused(node, peers)


def test_routes_of_others_are_left_alone(node):
    theirs = ("10.244.2.0/24 via 192.0.2.1 proto static metric 7", "fd00:10:244:3::/64 via 2001:db8:0:1::1 proto bgp")
    for route in theirs:
        ip_route(node, "add", route)
    said = refused(node)
    assert "'10.244.2.0/24' has a route already that is not ours: 10.244.2.0/24 via 192.0.2.1 dev eth0 proto static metric 7 (expected it taken away" in said
    assert "fd00:10:244:3::/64 via 2001:db8:0:1::1 dev eth0 proto bgp" in said
    for route in theirs:
        ip_route(node, "del", route)
    node.ip("route add 10.244.2.128/25 via 192.0.2.1", "route add 10.244.0.0/16 via 192.0.2.1")
    before = node.dump()
    warned = run(node)["warnings"]
    assert [warning for warning in warned if "10.244" in warning] == [
        "routes: 10.244.2.128/25 via 192.0.2.1 dev eth0 proto boot is inside of 10.244.2.0/24 of node-2, and keeps its packets",
    ]
    run(node, state="absent")
    assert not diff_dumps(before, node.dump())


# Drift


ODD = [
    "10.9.0.0/24 via 192.0.2.8 proto 107", "10.9.1.0/24 via 192.0.2.8 proto 107 metric 5", "10.244.2.0/24 via 192.0.2.12 proto 107 mtu 1300 metric 9",
    "10.9.2.0/24 proto 107 nexthop via 192.0.2.8 nexthop via 192.0.2.9", "10.9.3.0/24 dev eth0 proto 107", "blackhole 10.9.4.0/24 proto 107",
    "10.9.5.0/24 via 192.0.2.8 proto 107 table 99", "10.9.6.0/24 via 203.0.113.9 dev eth0 onlink proto 107", "10.9.7.0/24 via 192.0.2.8 proto 107 tos 8",
    "fd00:9::/64 via 2001:db8:0:1::8 proto 107", "fd00:9:1::/64 via 2001:db8:0:1::8 proto 107 metric 5", "blackhole fd00:9:2::/64 proto 107",
    "fd00:9:3::/64 proto 107 nexthop via 2001:db8:0:1::8 nexthop via 2001:db8:0:1::9", "fd00:9:4::/64 dev eth0 proto 107",
]  # fmt: skip
#: In place of one of ours, with something else in it.
INSTEAD = [
    "10.244.2.0/24 via 192.0.2.99 proto 107", "10.244.2.0/24 via 192.0.2.12 proto 107 mtu 1300", "blackhole 10.244.2.0/24 proto 107",
    "10.244.2.0/24 proto 107 nexthop via 192.0.2.12 nexthop via 192.0.2.13", "10.244.2.0/24 dev eth0 proto 107",
    "fd00:10:244:2::/64 via 2001:db8:0:1::99 proto 107", "blackhole fd00:10:244:2::/64 proto 107",
    "fd00:10:244:2::/64 proto 107 nexthop via 2001:db8:0:1::13 nexthop via 2001:db8:0:1::14",
]  # fmt: skip


def ip_route(node, verb, route):
    node.run(["ip", "-6" if "fd00" in route else "-4", "route", verb, *route.split()])


def mended(node, resource="routes:kubenode"):
    """Runs, with the same result as in check mode, and says what differed."""
    foretold = node.module("pod_routes", {"node": "node-1", "peers": PEERS}, check=True)
    done = run(node)
    assert foretold["changes"] == done["changes"] and done["changed_resources"] == [resource]
    assert ours(node) == of("node-2", "node-3") and not run(node)["changed"]
    return done["changes"][0]


def test_a_route_that_went_is_made_again(node):
    run(node)
    before = node.dump()
    ip_route(node, "del", "10.244.2.0/24 proto 107")
    assert mended(node)["after"] == {"10.244.2.0/24": "192.0.2.12"}
    assert not diff_dumps(before, node.dump())


@pytest.mark.parametrize("route", INSTEAD)
def test_a_route_that_was_changed_is_as_it_was(node, route):
    run(node)
    before = node.dump()
    ip_route(node, "del", route.split(" via ")[0].replace("blackhole ", "").split()[0])
    ip_route(node, "add", route)
    difference = mended(node)
    assert len(difference["before"]) == len(difference["after"]) == 1
    assert not diff_dumps(before, node.dump())


def test_routes_of_our_protocol_that_nobody_asked_for_go(node):
    run(node)
    before = node.dump()
    for route in ODD:
        ip_route(node, "add", route)
    assert len(mended(node)["before"]) == len(ODD)
    assert not diff_dumps(before, node.dump())


def test_a_next_hop_of_others_that_the_kernel_joins_to_ours_is_left_alone(node):
    """In IPv6 two routes to one prefix become one with two next hops, which shows the first one's protocol."""
    run(node)
    prefix = CIDRS["node-2"][1]
    joined = f"{prefix} via 2001:db8:0:1::77"
    ip_route(node, "append", f"{joined} proto static")
    text = "has next hops of others beside ours"
    assert text in refused(node) and prefix in refused(node)
    assert text in refused(node, without("node-2"))
    before = node.dump()
    gone = node.module("pod_routes", {"state": "absent"})
    assert text in gone["msg"] and not diff_dumps(before, node.dump())
    ip_route(node, "del", joined)
    assert run(node)["changed"] is False


def test_what_a_lost_document_left_is_taken_over_and_taken_away(node):
    run(node)
    node.run(["rm", "/etc/kubenode-network/node.json"])
    assert run(node, without("node-2"))["changes"][0]["before"] == of("node-2")
    run(node, state="absent")
    assert ours(node) == {}


def test_without_a_document_nothing_is_taken_away(node):
    node.ip("route add 10.9.0.0/24 via 192.0.2.8 proto 107")
    result = run(node, state="absent")
    assert not result["changed"]
    assert result["warnings"] == ["routes: there are routes of protocol 107, but the document does not name them; they were left alone"]


# Failures


ASK = """
import json
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import routes
try:
    routes.change_own(*json.loads({given!r}))
except NodeError as error:
    print(error)
"""


def changed(node, *given):
    """What the function that changes routes says."""
    script = f"import sys; sys.path.insert(0, {str(link_collection())!r})\n{ASK.format(given=json.dumps(given))}"
    return node.run([sys.executable, "-c", script]).stdout.strip()


def test_a_route_that_the_kernel_refuses_is_named(node):
    many = {f"10.{number // 256}.{number % 256}.0/24": "192.0.2.12" for number in range(256 * 9, 256 * 9 + 300)}
    assert changed(node, many, {}, []) == ""
    far = {"10.8.0.0/24": "192.0.2.13", "10.8.1.0/24": "203.0.113.4", "fd00:8::/64": "2001:db8:9::1"}
    assert changed(node, far, {}, []) == "the kernel refused 10.8.1.0/24 via 203.0.113.4: Network is unreachable (1 more failed with it)"
    assert changed(node, {"10.9.7.0/24": "192.0.2.13"}, {}, []) == "the kernel refused 10.9.7.0/24 via 192.0.2.13: File exists"


@pytest.mark.parametrize("there", [[], [ODD[3], ODD[12], INSTEAD[1], INSTEAD[5]]], ids=["a node without routes", "a node with others"])
def test_when_a_later_change_fails_the_routes_are_as_they_were(node, there):
    for route in there:
        ip_route(node, "add", route)
    node.run(["mount", "--bind", "-o", "ro", "/etc/systemd/system", "/etc/systemd/system"])
    before = node.dump()
    result = node.module("pod_routes", {"node": "node-1", "peers": PEERS})
    assert "kubenode-network-routes.service could not be changed" in result["msg"] and "put back, the node is as it was" in result["msg"]
    assert not diff_dumps(before, node.dump())


def test_a_run_that_is_killed_anywhere_is_undone_or_finished_by_the_next_one(node):
    """Each run puts files in place, among them the journal, and the document behind the routes."""
    bare, killed = node.dump(), 0
    for number in range(1, 20):
        prefix = ("strace", "-f", "-o", "/dev/null", "-e", "trace=rename", "-e", f"inject=rename:signal=SIGKILL:when={number}")
        try:
            node.module("pod_routes", {"node": "node-1", "peers": PEERS}, prefix=prefix)
        except ModuleCrash:
            killed += 1
        else:
            break
        run(node, without("node-2"))
        assert ours(node) == of("node-3")
        run(node, state="absent")
        assert not diff_dumps(bare, node.dump())
    assert killed >= 6


# Without a controller


@pytest.fixture
def served(node):
    """A node with the program and routes."""
    result = node.module("node_network", {"routes": {"node": "node-1", "peers": PEERS}, "boot_service": program.send(node)})
    assert not result.get("failed"), result
    return node


def command(node, *words):
    done = node.run(["/usr/bin/python3", "-I", PROGRAM, *words], check=False)
    return done.returncode, done.stdout


def plug_again(node):
    """The link is up once more, with all that the kernel took along when it went down."""
    node.ip("link set eth0 up", "address add 2001:db8:0:1::10/64 dev eth0 nodad", "route add default via 192.0.2.1")
    node.run(["ip", "-6", "route", "add", "default", "via", "2001:db8:0:1::1"])


def test_after_a_boot_the_routes_wait_for_their_link(served):
    before = served.dump()
    document = served.read("/etc/kubenode-network/node.json")
    served.ip("route flush proto 107", "link set eth0 down")
    code, said = command(served, "apply")
    assert code == 3 and "waiting" in said and ours(served) == {}
    assert served.read("/etc/kubenode-network/node.json") == document
    plug_again(served)
    assert command(served, "apply")[0] == 0
    assert not diff_dumps(before, served.dump())
    assert command(served, "status")[0] == 0


def test_what_can_be_there_does_not_wait_for_the_rest(node):
    node.ip("link add eth1 type bridge", "link set eth1 up", "address add 203.0.113.9/24 dev eth1")
    peers = with_peers(node_4={"pod_cidrs": ["10.244.4.0/24"], "addresses": ["203.0.113.4"]})
    options = {"routes": {"node": "node-1", "peers": peers}, "boot_service": program.send(node)}
    assert not node.module("node_network", options).get("failed")
    node.ip("link set eth1 down")
    ip_route(node, "del", "10.244.2.0/24")
    code, said = command(node, "apply")
    assert code == 0 and "1 routes are left for later, no link that is up leads to 203.0.113.4" in said
    assert ours(node) == of("node-2", "node-3")
    node.ip("link set eth1 up", "route add 10.244.4.0/24 via 192.0.2.1 proto static")
    code, said = command(node, "apply")
    assert code == 0 and "10.244.4.0/24 has a route already that is not ours, which stays" in said
    node.ip("route del 10.244.4.0/24 proto static")
    assert command(node, "apply")[0] == 0
    assert ours(node) == {**of("node-2", "node-3"), "10.244.4.0/24": "203.0.113.4"}
    assert not node.module("node_network", options)["changed"]


def test_drift_is_said_and_mended_by_the_program(served):
    before = served.dump()
    for route in (ODD[3], ODD[13]):
        ip_route(served, "add", route)
    ip_route(served, "del", "10.244.2.0/24")
    code, said = command(served, "diff")
    assert code == 3 and "+10.244.2.0/24 via 192.0.2.12" in said and "-10.9.2.0/24" in said and "10.244.3.0" not in said
    assert command(served, "apply")[0] == 0
    assert not diff_dumps(before, served.dump())


@pytest.fixture
def watch(served):
    """The program that watches over the routes, once it does."""
    process = served.popen(["/usr/bin/python3", "-I", PROGRAM, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    served.ip("route flush proto 107")
    wait_for(lambda: ours(served) == of("node-2", "node-3"), 20, "the routes")
    yield process
    process.kill()
    process.communicate()


def test_the_watch_brings_routes_back(served, watch):
    before = served.dump()
    for event in ("del 10.244.3.0/24", "replace 10.244.2.0/24 via 192.0.2.99 proto 107", "add 10.9.0.0/24 via 192.0.2.8 proto 107", "flush proto 107"):
        served.ip(f"route {event}")
        wait_for(lambda: ours(served) == of("node-2", "node-3"), 15, event)
    served.ip("link set eth0 down")
    wait_for(lambda: ours(served) == {}, 15, "the kernel")
    served.run(["sleep", "1"])
    plug_again(served)
    wait_for(lambda: ours(served) == of("node-2", "node-3"), 15, "the link")
    assert not diff_dumps(before, served.dump()) and watch.poll() is None


def test_a_line_of_the_status_stays_a_line(served):
    for number in range(50):
        served.ip(f"route add 10.9.{number}.0/24 via 192.0.2.8 proto 107")
    code, said = command(served, "status")
    line = next(line for line in said.splitlines() if "routes:kubenode" in line)
    assert code == 3 and "drift" in line and line.endswith(", and 42 more") and len(line) < 500


def test_the_watch_ends_for_another_program(served, watch):
    served.run(["sh", "-c", f"printf x >> {PROGRAM}"])
    served.ip("route del 10.244.2.0/24")
    assert watch.wait(20) == 0
    assert "10.244.2.0/24" not in ours(served), "that is the work of the next one"
