# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the model accepts, ADD and DEL of the real plugins accept; and what it refuses, they refuse or we say why.

KUBENODE_CHAINS: how many networks of the kubelets' chain (default 300). KUBENODE_SEED: from which draw (default 1).

Not tried, for this kernel has no such links: ipvlan, vlan, dummy, vrf, VLANs on a bridge. host-device, tap and dhcp need
a device, /dev/net/tun and a server. What a value must be to exist on a node (a master's name, its MTU, a sysctl that the
kernel knows, the grammar of iptables and nft) is not for the model, and the networks drawn here have such values right.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from random import Random
from typing import Any, NamedTuple

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import keys, model, versions
from ansible_collections.kubenode.network.plugins.module_utils._cni.versions import older
from testbed import Node
from testbed.chains import Chains
from testbed.generated import Maker
from testbed.programs import Program

IPAM = {"type": "host-local", "subnet": "10.1.0.0/24"}
COUNT = int(os.environ.get("KUBENODE_CHAINS", "300"))
SEED = int(os.environ.get("KUBENODE_SEED", "1"))

#: What we refuse though ADD and DEL pass, with the reason. Patterns of problems.
STRICTER = {
    r" is not a key of ": "a plugin ignores a key that it does not know, so a misspelt one has no effect",
    r" is not a capability ": "the same for a capability",
    r": null is not ": "Go takes null for a key that is not there, so an option that ends up null is lost",
    r"\.mtu: -\d+ is out of range": "a negative MTU is taken for none",
    r"\.(gateway|rangeStart|rangeEnd): \S+ is not a host of ": "a pod with the network's or the broadcast address, or a gateway out of reach",
    r"'::ffff:[\d.]+' is not an IP address": "an IPv4 address written as IPv6 has two families",
    r"\.gateway: \S+ is not in the address's network": "a gateway out of the pod's reach",
    r"\.subnet: \S+ needs \S+ on the bridge beside ": "the pod of this test gets its address from the first range, a later one from the other",
    r"sbr cannot move a default route": "later plugins can; those of Debian 11 to 13 cannot",
    r" is the same route as ": "ptp of 0.9.0 passes over a route that is there already, later ones fail",
    r"\.master: '' is not usable": "the interface of the default route is meant by leaving the key out",
    r"\.(txQLen|table): -\d+ is out of range": "a negative number becomes a very large one, or nothing",
    r"'10\.01\.0\.0/24' is not a CIDR": "plugins built by Go before 1.17 (0.9.0) take leading zeros, later ones do not",
    r" leaves only the gateway ": "the one address is a pod's only when the gateway has none",
    r"\.ipam\.type: (''|missing)": "the whole section would be ignored: a pod without an address",
    r"\.dst: \S+ has host bits set": "the plugin cuts them off: another route than the one that is written",
    r"\.(ipMasqBackend|ipMasq): \S+ is not (known|a boolean)": "not looked at without ipMasq",
    r"\.resolvConf: \S+ is not usable": "a relative path is one of the runtime's working directory",
    r"\.externalSetMarkChain: .* is not usable": "not looked at before a pod has a host port",
    r"\.conditionsV[46]\S*: ": "not looked at before a pod has a host port of that family",
    r"cannot be combined with disableContainerInterface": "a plugin that runs IPAM for a link that stays down",
    r"\.ingressPolicy: .* is not known|\.backend: 'iptable' is not known": "firewall takes its default for a word it does not know",
    r"\.(mac|args\.cni\.mac): ": "a group address: the kernel refuses it, or the plugin does not look",
    r"\.firewalldZone: ": "not looked at without firewalld",
}
#: The same, of networks before 0.3.0.
STRICTER_BEFORE_0_3 = {
    r"\.routes\[\d+\]": "a result before 0.3.0 has nothing but dst and gw of a route, and only routes of the addresses' families",
}
#: What ADD and DEL of a network that we accept may say, with the reason.
TOLERATED = {
    r"^once: (bridge|ptp) DEL: running \[\S*ip6?tables .*Chain 'CNI-\w+' does not exist":
        "iptables-nft 1.8.9 words it so that the plugin does not know it for `not there`; kubelet tries again, and that passes",
}


class Case(NamedTuple):
    """A network and what the model says of it."""

    config: dict[str, Any]
    problems: list[str]


def newer(plugin: dict[str, Any], release: str) -> bool:
    """Whether it has a key that this release ignores: another check than the one that is held against ADD here."""
    ipam = plugin.get("ipam") if isinstance(plugin.get("ipam"), dict) else {}
    routes = [route for route in ipam.get("routes", []) if isinstance(route, dict)]
    parts = [(plugin, keys.PLUGINS[plugin["type"]].keys.keys), *((route, keys.ROUTE.keys) for route in routes)]
    if any(name in known and older(release, known[name].since or "0.0.0") for part, known in parts for name in part):
        return True
    if "IFNAME" in str(plugin.get("sysctl")) and older(release, "1.1.0"):  # containernetworking/plugins#669
        return True
    # A word of a choice may be newer than its key.
    policy = keys.PLUGINS["firewall"].keys.keys["ingressPolicy"].kind.words.get(plugin.get("ingressPolicy"), "")
    return plugin["type"] == "firewall" and older(release, policy or "0.0.0")


def draw(seed: int, count: int, program: Program, chain: str) -> list[Case]:
    """Networks of which every second has exactly one problem, the others none."""
    maker, cases = Maker(Random(seed)), []
    spoken = known_versions(program)
    while len(cases) < count:
        version, plugins = maker.version(spoken), getattr(maker, chain)()
        problems = [str(problem) for problem in model.check_plugins(plugins, cni_version=version)]
        if len(problems) == len(cases) % 2 and not any(newer(plugin, program.version) for plugin in plugins):
            cases.append(Case(model.build(f"net{len(cases)}", version, plugins, single=False), problems))
    return cases


def known_versions(program: Program) -> list[str]:
    answer = subprocess.run([program.cni_bin / "bridge"], input='{"cniVersion": "0.4.0"}', env={"CNI_COMMAND": "VERSION"}, check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    return json.loads(answer)["supportedVersions"]


def outcome(chains: Chains, config: dict[str, Any]) -> str | None:
    """Why the network does not work: what libcni says of the file, or the plugins of the pod."""
    try:
        model.parse(model.render(config), "10-a.conflist")
    except model.ConfigError as error:
        return str(error)
    return chains.run(config, "lo" if config["plugins"][0]["type"] == "loopback" else "eth0")


def disagreement(case: Case, failure: str | None) -> str | None:
    """In words, or None."""
    tolerated = failure and any(re.search(pattern, failure) for pattern in TOLERATED)
    if not case.problems and failure and not tolerated:
        return f"accepted by us: {json.dumps(case.config)}\n  {failure}"
    patterns = [*STRICTER, *(STRICTER_BEFORE_0_3 if older(case.config["cniVersion"], "0.3.0") else ())]
    explained = [any(re.search(pattern, problem) for pattern in patterns) for problem in case.problems]
    if case.problems and not failure and not all(explained):
        return f"refused by us: {case.problems}\n  {json.dumps(case.config)}"
    return None


def disagreements(program: Program, chain: str, count: int) -> list[str]:
    cases = draw(SEED, count, program, chain)
    with Node() as node, Chains(node, program.cni_bin) as chains:
        found = [disagreement(case, outcome(chains, case.config)) for case in cases]
    return [text for text in found if text]


@pytest.mark.slow
@pytest.mark.timeout(120 + COUNT)
@pytest.mark.parametrize("suite", ["bookworm", "sid"])
def test_the_kubelets_chain(suite):
    """bridge, host-local, portmap and bandwidth with plugins 1.1.1 (bookworm) and 1.9.1 (sid; it moves)."""
    found = disagreements(Program("cni-plugins", suite), "kubelets_chain", COUNT)
    assert not found, f"{len(found)} of {COUNT}:\n" + "\n".join(found)


@pytest.mark.slow
@pytest.mark.timeout(120 + COUNT)
@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "sid"])
def test_other_chains(suite):
    """ptp, macvlan, static, tuning, firewall, sbr and loopback, with plugins 0.9.0 (bullseye) as well."""
    found = disagreements(Program("cni-plugins", suite), "other_chain", COUNT // 3)
    assert not found, f"{len(found)} of {COUNT // 3}:\n" + "\n".join(found)


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "sid"])
def test_the_judge_itself(suite):
    """A network that no plugin takes and one that each takes, so that agreement is not silence."""
    program = Program("cni-plugins", suite)
    good = model.build("good", "0.4.0", [{"type": "bridge", "ipam": IPAM}, {"type": "portmap", "capabilities": {"portMappings": True}}], single=False)
    bad = model.build("bad", "0.4.0", [{"type": "bridge", "ipam": IPAM, "mtu": 67}], single=False)
    with Node() as node, Chains(node, program.cni_bin) as chains:
        assert outcome(chains, good) is None
        assert outcome(chains, bad).startswith("bridge ADD: ")
        assert disagreement(Case(bad, []), outcome(chains, bad)) and disagreement(Case(good, ["plugins[0].x: invented"]), None)
        chains.close()
        assert node.run(["ip", "netns"]).stdout == ""


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "sid"])
def test_names_and_versions(suite):
    """A loader takes any of them; every pod then fails, unless we have nothing against it either."""
    program = Program("cni-plugins", suite)
    spoken = known_versions(program)
    with Node() as node, Chains(node, program.cni_bin) as chains:
        for name in ("a", "0", "a.b-c_d", "x" * 200, "", "a b", "-a", ".a", "a/b", "\u00e9", "a\n"):
            failure = chains.run(model.build(name, "0.4.0", [{"type": "bridge", "ipam": IPAM}], single=False))
            assert bool(failure) is bool(model.check_name(name)), (name, failure)
        for version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", "1.0", "9.9.9", "v1.0.0", "1.0.0-rc1", "01.0.0", "x"):
            failure = chains.run(model.build("net", version, [{"type": "bridge", "ipam": IPAM}], single=False))
            refused = bool(versions.check_version(version, "cni_version")) or version not in spoken
            assert bool(failure) is refused, (version, failure)
