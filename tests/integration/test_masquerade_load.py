# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many packets and many connections through the masquerade."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager

import pytest
from testbed import Node
from testbed.paths import HERE
from testbed.scene import FAMILIES, IPTABLES, PORT, Scene

BULK = [sys.executable, "-I", "-S", str(HERE / "bulk.py")]
KINDS = ("udp", "tcp")
#: backend -> variant of iptables on the node, options of section masquerade
BACKENDS = {
    "iptables-nft": ("nft", {"backend": "iptables"}),
    "iptables-legacy": ("legacy", {"backend": "iptables"}),
    "nftables": ("nft", {"backend": "nftables"}),
}
NFT_FAMILIES = {"ip4": "ip", "ip6": "ip6"}
TABLE = "kubenode_masquerade"


@pytest.fixture(scope="module", params=BACKENDS)
def scene(request):
    variant, masquerade = BACKENDS[request.param]
    with Node() as node:
        node.use_iptables(variant)
        scene = Scene(node, FAMILIES["dual stack"])
        scene.have(masquerade=masquerade)
        scene.client, scene.backend = scene.pod("client").pod, request.param
        if scene.backend == "nftables":
            count(node)
        yield scene


@contextmanager
def server(place, kind, sources):
    """An echo server; fills `sources` with the numbers of ports that each address came from."""
    pipe = subprocess.PIPE
    with place.popen([*BULK, "serve", kind, str(PORT)], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            yield
            out, error = process.communicate("stop\n", timeout=30)
            assert process.returncode == 0, error
            sources.update(json.loads(out))
        finally:
            if process.poll() is None:
                process.kill()


def ask(scene, kind, family, connections, rounds):
    """What the client says of its connections, and the sources that the server saw."""
    sources = {}
    with server(scene.outside, kind, sources):
        argv = [*BULK, "ask", kind, getattr(scene.outside, family), str(PORT), str(connections), str(rounds)]
        done = scene.client.run(argv, timeout=120)
    return {**json.loads(done.stdout), "error": done.stderr}, sources


def rules(node, family):
    """Those of the chain to which packets of pods jump."""
    items = json.loads(node.run(["nft", "-j", "list", "table", NFT_FAMILIES[family], TABLE]).stdout)["nftables"]
    return [item["rule"] for item in items if item.get("rule", {}).get("chain") == "pods"]


def count(node):
    """Our rules in nftables do not count: add counters before the first and before the one that masquerades."""
    for family, word in NFT_FAMILIES.items():
        first, *_others, last = rules(node, family)
        assert "masquerade" in last["expr"][-1]
        for rule in (first, last):
            node.run(["nft", "insert", "rule", word, TABLE, "pods", "position", str(rule["handle"]), "counter"])


def hits(scene, family):
    """Packets that our rules have seen: the jump, those that return, those that masquerade."""
    if scene.backend == "nftables":
        jump, masquerade = (rule["expr"][0]["counter"]["packets"] for rule in rules(scene.node, family) if "counter" in rule["expr"][0])
        return {"jump": jump, "return": jump - masquerade, "masquerade": masquerade}
    counts = {"jump": 0, "return": 0, "masquerade": 0}
    for line in scene.node.run([f"{IPTABLES[family]}-save", "-c", "-t", "nat"]).stdout.splitlines():
        found = re.match(r"\[(\d+):\d+\] -A (POSTROUTING .*-j KUBENODE-MASQ$|KUBENODE-MASQ .*-j (RETURN|MASQUERADE))", line)
        if found:
            counts[(found[3] or "jump").lower()] += int(found[1])
    return counts


@pytest.mark.parametrize("family", FAMILIES["dual stack"])
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_first_packet_of_a_connection_meets_our_rules(scene, kind, family):
    before = hits(scene, family)
    said, sources = ask(scene, kind, family, 1, 1000)
    assert said == {"opened": 1, "answered": [1] * 1000, "error": ""}
    assert sources == {getattr(scene.node, family): 1}
    after = {verdict: count - before[verdict] for verdict, count in hits(scene, family).items()}
    # What the pod's kernel says to multicast groups meanwhile returns.
    assert (after["jump"] - after["return"], after["masquerade"]) == (1, 1), after


@pytest.mark.parametrize("family", FAMILIES["dual stack"])
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_connections_at_a_time(scene, kind, family):
    said, sources = ask(scene, kind, family, 10000, 2)
    assert said == {"opened": 10000, "answered": [10000, 10000], "error": ""}
    assert sources == {getattr(scene.node, family): 10000}
