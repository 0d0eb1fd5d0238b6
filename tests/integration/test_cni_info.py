# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cni_info on nodes that have, for real, what it names: each problem is made, and was not named before."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._info.problems import TABLE
from testbed import COLLECTIONS, Node, diff_dumps
from testbed.containerd import Containerd
from testbed.fake_runtime import FakeRuntime
from testbed.programs import Program

CONF_DIR = "/etc/cni/net.d"
FILE = f"{CONF_DIR}/10-mynet.conflist"
SOCKET = "/run/containerd/containerd.sock"
#: Debian releases whose containerd is asked.
SUITES = ("bookworm", "trixie", "sid")
BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True, "mtu": 1450}
IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:10:244:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
#: The modules' work without what a module has to import on top of it.
LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.kubenode.network.plugins.module_utils._info import module
print(json.dumps(module.run({**dict.fromkeys(module.OPTIONS), **json.loads(sys.argv[2])})))
"""


def network(name="mynet", *, bridge=None, ipam=None, portmap=None, chain=None, **keys):
    """A list; what is given goes over the healthy one. None as a value takes a key away."""
    plugins = chain if chain is not None else [{**BRIDGE, **(bridge or {}), "ipam": {**IPAM, **(ipam or {})}}, {**PORTMAP, **(portmap or {})}]
    config = {"cniVersion": "1.0.0", "name": name, "plugins": plugins, **keys}
    return json.dumps(_without_none(config))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def put(path=FILE, text="", **changes):
    """Writes a network's file."""
    return lambda node: node.write(path, text or network(**changes), 0o600)


def run(*commands):
    """Runs commands on the node, as words in one text each."""
    return lambda node: [node.run(command.split()) for command in commands]


def nft(*commands):
    return lambda node: [node.run(["nft", command]) for command in commands]


def both(*steps):
    return lambda node: [step(node) for step in steps]


def healthy(node):
    """What a careful person makes by hand."""
    node.run(["umount", "/var/lib/cni"])  # onto the node's disk
    node.install_plugins()
    node.run(["install", "-d", "-m", "755", CONF_DIR])
    put()(node)
    node.run(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=1"])


def look(node, **options):
    return json.loads(node.run([sys.executable, "-I", "-B", "-c", LOOK, str(COLLECTIONS), json.dumps(options)]).stdout)


def names(result):
    return {problem["name"] for problem in result["problems"]}


def named(result, name):
    return [problem for problem in result["problems"] if problem["name"] == name]


@pytest.fixture
def node():
    with Node() as node:
        healthy(node)
        yield node


# The table


@dataclass
class Case:
    """How a healthy node gets a problem, and what is then said of it. ``base``: what comes before, without the problem."""

    prepare: Callable[[Node], Any]
    severity: str
    said: str
    base: Callable[[Node], Any] = field(default=lambda node: None)
    options: dict[str, Any] = field(default_factory=dict)


def pod(node, name="a"):
    """A pod that nobody takes down."""
    return node.pod(name)


def lost_pod(node):
    """A pod whose namespace went away an hour ago, without anybody asking the plugins."""
    pod(node)
    node.run(["ip", "netns", "delete", "a"])
    node.run(["sh", "-c", "touch -d '1 hour ago' /var/lib/cni/networks/mynet/10.*"])


def take_addresses(count):
    """Leases of the real host-local."""
    config = json.dumps({"cniVersion": "1.0.0", "name": "mynet", "type": "bridge", "ipam": {"type": "host-local", "subnet": "10.244.1.0/28"}})

    def take(node):
        for number in range(count):
            env = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": f"c{number}", "CNI_IFNAME": "eth0", "CNI_NETNS": "/run/netns/none", "CNI_PATH": "/opt/cni/bin"}
            node.run(["/opt/cni/bin/host-local"], input=config, env=env)

    return take


def release_of_portmap(about):
    """A portmap of another release than the one that this machine has."""
    script = f"""#!/bin/sh
[ -n "$CNI_COMMAND" ] || {{ echo "{about}" >&2; exit 0; }}
echo '{{"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]}}'
"""
    return lambda node: node.write("/opt/cni/bin/portmap", script, 0o755)


def ours(node):
    """The network as this collection writes it."""
    node.run(["rm", FILE])
    result = node.module("cni_config", {"name": "mynet", "plugins": json.loads(network())["plugins"], "mode": "0600"})
    assert result["changed"], result


CRIO = '[crio.network]\nnetwork_dir = "/etc/cni/net.d"\n'
ALL_FILES = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".cni]\n  max_conf_num = 0\n'
LOOPBACK = '{"cniVersion": "1.0.0", "name": "lo", "type": "loopback"}'
SMALL = {"ipam": {"ranges": [[{"subnet": "10.244.1.0/28"}]], "routes": [{"dst": "0.0.0.0/0"}]}}
NOT_ELSEWHERE = run("mount -t tmpfs tmpfs /usr/lib/cni")
MASQUERADE = {"pod_cidrs": ["10.244.1.0/24"], "cluster_cidrs": ["10.244.0.0/16"]}
NO_MASQUERADE = put(bridge={"ipMasq": False})


def masquerade(node):
    assert node.module("masquerade", MASQUERADE)["changed"]


#: number-name, and for those that have several causes a letter behind -> case
CASES = {
    "2-temporary-file": Case(put(f"{CONF_DIR}/.ansible_tmp8f3_20-x.conflist", "{"), "warning", "/.ansible_tmp8f3_20-x.conflist looks like a temporary"),
    "2-temporary-file-b": Case(put(f"{CONF_DIR}/10-mynet.conf.json", "{"), "warning", "/10-mynet.conf.json looks like a temporary file or a copy"),
    "2-temporary-left": Case(both(put(f"{CONF_DIR}/.10-mynet.conflist.0a1b2c3d.tmp", "{"), run(f"touch -d @1 {CONF_DIR}/.10-mynet.conflist.0a1b2c3d.tmp")),
                             "info", ".10-mynet.conflist.0a1b2c3d.tmp was left by a run that was killed"),
    "3-file-first": Case(put(f"{CONF_DIR}/05-calico.conflist", name="calico"), "warning", "05-calico.conflist sorts before 10-mynet.conflist", base=ours),
    "3-file-sibling": Case(put(f"{CONF_DIR}/10-mynet.conf", LOOPBACK), "warning", "/10-mynet.conf is 10-mynet.conflist with another extension"),
    "3-file-shadowed": Case(put(f"{CONF_DIR}/50-other.conflist", name="other"), "info", "/50-other.conflist is not used, 10-mynet.conflist is"),
    "4-vendor-file": Case(put(f"{CONF_DIR}/87-podman-bridge.conflist", name="podman"), "info", "87-podman-bridge.conflist is a default of podman"),
    "4-vendor-file-b": Case(put(f"{CONF_DIR}/10-containerd-net.conflist", name="c"), "warning", "is a default of containerd and is the pod network"),
    "4-subnet-overlap": Case(put(f"{CONF_DIR}/50-other.conflist", name="other", ipam={"ranges": [[{"subnet": "10.244.0.0/16"}]]}), "warning",
                             "10.244.0.0/16 of network 'other' in 50-other.conflist overlaps 10.244.1.0/24 of 'mynet' in 10-mynet.conflist"),
    "5-file-broken": Case(put(f"{CONF_DIR}/05-x.conflist", '{"name": "x",\n "plugins": [}'), "error",
                          "/05-x.conflist is not valid, containerd loads nothing because of it: is not valid JSON: Expecting value: line 2 column 14"),
    "5-file-broken-b": Case(put(f"{CONF_DIR}/20-x.conflist", "{"), "warning", "/20-x.conflist is not valid, it is passed over, or not read as long as"),
    "5-no-network": Case(run(f"rm {FILE}"), "error", "/etc/cni/net.d gives pods no network, containerd finds: no network configuration"),
    "6-plugin-missing": Case(put(chain=[{"type": "weave-net"}]), "error",
                             "weave-net is not in /opt/cni/bin, but network 'mynet' in 10-mynet.conflist needs it"),
    "6-plugin-missing-b": Case(run("rm /opt/cni/bin/loopback"), "error", "loopback is not in /opt/cni/bin, but containerd, for every pod, needs it",
                               base=NOT_ELSEWHERE),
    "6-plugin-missing-c": Case(run("rm /opt/cni/bin/host-local"), "error", "host-local is not in /opt/cni/bin", base=NOT_ELSEWHERE),
    "6-plugin-missing-d": Case(run("rm -r /opt/cni/bin"), "error",
                               "no plugin is in /opt/cni/bin, but containerd, for every pod, needs loopback; network 'mynet' in 10-mynet.conflist needs "
                               "bridge, host-local, portmap (install them with kubenode.network.cni_plugins)", base=NOT_ELSEWHERE),
    "7-plugin-elsewhere": Case(run("rm /opt/cni/bin/portmap"), "error",
                               "portmap is in /usr/lib/cni, but it is looked for in /opt/cni/bin, and network 'mynet'"),
    "7-plugin-elsewhere-b": Case(run("rm -r /opt/cni/bin"), "error",
                                 "bridge, host-local, loopback, portmap are in /usr/lib/cni, but they are looked for in /opt/cni/bin, and network 'mynet' in "
                                 "10-mynet.conflist needs bridge, host-local, portmap; containerd, for every pod, needs loopback (install them with"),
    "8-version-missing": Case(put(cniVersion=None), "warning", "10-mynet.conflist has no cniVersion"),
    "8-version-malformed": Case(put(cniVersion="1.0"), "error", "10-mynet.conflist: cniVersion: '1.0' is not a version of the CNI specification with three"),
    "8-version-unsupported": Case(put(cniVersion="1.1.0"), "error", "says CNI 1.1.0, /opt/cni/bin/bridge supports 0.1.0, 0.2.0"),
    "9-option-too-new": Case(put(bridge={"portIsolation": True}), "warning", "plugins[0].portIsolation: true is not known to the installed bridge"),
    "9-option-wrong": Case(put(bridge={"isGatway": True}), "warning",
                           "plugins[0].isGatway: 'isGatway' is not a key of bridge (expected isGateway?; as it is, the plugin ignores or refuses it)"),
    "10-lease-orphaned": Case(lost_pod, "warning",
                              "'mynet' holds 1 of its addresses for sandboxes that no longer exist: 10.244.1.2", options={"sandboxes": []}),
    "10-range-full": Case(take_addresses(12), "warning", "network 'mynet' has 1 of 13 addresses left in 10.244.1.1-10.244.1.14", base=put(**SMALL)),
    "10-range-full-b": Case(take_addresses(13), "error", "network 'mynet' has 0 of 13 addresses left", base=put(**SMALL)),
    "10-range-small": Case(put(**SMALL), "warning", "network 'mynet' has 13 addresses in 10.244.1.1-10.244.1.14, kubelet starts up to 110 pods"),
    "11-leases-volatile": Case(both(run("mount -t tmpfs tmpfs /var/lib/cni"), pod), "warning",
                               "/var/lib/cni/networks is on tmpfs and has leases of network 'mynet' (2), which"),
    "12-leases-without-network": Case(put(name="renamed"), "warning", "network 'mynet' has leases (2) or attachments (0), but no valid file", base=pod),
    "13-bridge-address": Case(run("ip link add cni0 type bridge", "ip addr add 10.9.0.1/24 dev cni0"), "error",
                              "cni0 has 10.9.0.1/24, but network 'mynet' in 10-mynet.conflist makes 10.244.1.1/24 its gateway"),
    "14-mtu-too-large": Case(put(bridge={"mtu": None}), "warning", "get MTU 1500, since it names none, but eth0, by which they leave, has 1450"),
    "15-portmap-without-capability": Case(put(portmap={"capabilities": None}), "warning", 'portmap has no capabilities: {"portMappings": true}'),
    "15-portmap-on-crio": Case(lambda node: node.write("/etc/crio/crio.conf", CRIO), "info", "portmap does nothing with CRI-O"),
    "15-hostport-impossible": Case(put(chain=[{**BRIDGE, "ipam": IPAM}]), "info", "pods of 'mynet' in 10-mynet.conflist have no host ports"),
    "16-mark-chain-missing": Case(run("iptables -t nat -X MY-MARK"), "error", "externalSetMarkChain: 'MY-MARK' is not a chain of the nat table",
                                  base=both(put(portmap={"externalSetMarkChain": "MY-MARK"}), run("iptables -t nat -N MY-MARK"))),
    "16-mark-bit-taken": Case(put(portmap={"markMasqBit": 14}), "warning", "markMasqBit: 14 is what Kubernetes uses for masquerading"),
    "17-nft-backend-unsafe": Case(release_of_portmap("CNI portmap plugin v1.8.0"), "error", "CVE-2025-67499; /opt/cni/bin/portmap is release 1.8.0",
                                  base=both(put(portmap={"backend": "nftables"}), release_of_portmap("CNI portmap plugin v1.9.1"))),
    "18-bridge-nf-off": Case(run("sysctl -qw net.bridge.bridge-nf-call-iptables=0"), "warning", "net.bridge.bridge-nf-call-iptables is 0, so IPv4 services"),
    "18-bridge-nf-off-b": Case(run("sysctl -qw net.bridge.bridge-nf-call-ip6tables=0"), "warning",
                               "net.bridge.bridge-nf-call-ip6tables is 0, so IPv6"),
    "19-hairpin-off": Case(put(bridge={"hairpinMode": None}), "warning", "without hairpinMode a pod on cni0 cannot reach its own service"),
    "20-forward-drop": Case(run("iptables -P FORWARD DROP"), "warning", "forwarded IPv4 packets are dropped by policy (nft)"),
    "20-forward-drop-b": Case(run("ip6tables-legacy -P FORWARD DROP"), "warning", "forwarded IPv6 packets are dropped by policy (legacy)"),
    "20-forward-drop-c": Case(nft("add table inet f", "add chain inet f x { type filter hook forward priority 0; policy drop; }"), "warning",
                              "forwarded IPv6 packets are dropped by policy (nft)"),
    "22-masquerade-twice": Case(masquerade, "warning", "ipMasq comes before the rules of kubenode.network.masquerade"),
    "22-masquerade-in-cluster": Case(put(), "info", "with ipMasq pods on other nodes see the address of this node", base=NO_MASQUERADE),
    "22-masquerade-none": Case(NO_MASQUERADE, "info", "nothing masquerades the pods of 'mynet' in 10-mynet.conflist"),
    "23-plugin-writable": Case(run("chown 1000 /opt/cni/bin"), "warning", "/opt/cni/bin belongs to 1000:0 with mode 0755 and runs as root"),
    "23-plugin-writable-b": Case(run("chmod g+w /opt/cni/bin/bridge"), "warning", "/opt/cni/bin/bridge belongs to 0:0 with mode 0775"),
    "24-plugin-broken": Case(run("chmod -x /opt/cni/bin/portmap"), "error",
                             "/opt/cni/bin/portmap is not executable; network 'mynet' in 10-mynet.conflist needs it (install it with"),
    "24-plugin-broken-b": Case(run("truncate -s 1000 /opt/cni/bin/bridge"), "error", "/opt/cni/bin/bridge does not answer VERSION"),
    "25-conf-dir-missing": Case(run(f"rm -r {CONF_DIR}"), "error", "/etc/cni/net.d is not there, so pods have no network"),
    "25-conf-dir-link": Case(run(f"mv {CONF_DIR} /etc/cni/real", f"ln -s real {CONF_DIR}"), "warning", "/etc/cni/net.d is a symbolic link to real"),
    "loopback-first": Case(both(run(f"rm {FILE}"), put(f"{CONF_DIR}/99-loopback.conf", LOOPBACK)), "error", "99-loopback.conf is alone or first"),
    "loopback-used": Case(lambda node: node.write("/etc/containerd/config.toml", ALL_FILES), "warning", "is a pod's further network, since max_conf_num is 0",
                          base=put(f"{CONF_DIR}/99-loopback.conf", LOOPBACK)),
    "mixed-backends": Case(run("iptables-legacy -t nat -N KUBE-SERVICES", "iptables-nft -t nat -N CNI-HOSTPORT-DNAT"), "warning",
                           "IPv4 rules of CNI plugins or kube-proxy are in nf_tables (CNI-HOSTPORT-DNAT) and in legacy tables (KUBE-SERVICES)"),
    "forwarding-off": Case(run("sysctl -qw net.ipv4.ip_forward=0"), "error", "net.ipv4.ip_forward is 0, so pods of 'mynet' reach nothing", base=pod),
    "sysctl-undone": Case(lambda node: node.write("/etc/sysctl.d/99-zz.conf", "\nnet/bridge/bridge-nf-call-iptables=0\n"), "warning",
                          "/etc/sysctl.d/99-zz.conf line 2 sets net.bridge.bridge-nf-call-iptables to 0 when systemd-sysctl or sysctl --system runs next"),
    "ipv6-off": Case(run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1"), "error", "net.ipv6.conf.default.disable_ipv6 is 1, but network 'mynet'"),
    "file-mode": Case(run(f"chmod 644 {FILE}"), "info", "10-mynet.conflist has mode 0644; the CIS benchmark for Kubernetes (1.1.9) expects 0600 (chmod 600)"),
}  # fmt: skip


def key_of(name):
    """Number and name of the problem that a case is about."""
    number, _dash, rest = name.partition("-") if name[0].isdigit() else (None, "", name)
    word = rest[:-2] if rest[-2:] in ("-b", "-c", "-d") else rest
    return (int(number) if number else None), word


def test_every_problem_has_a_case():
    assert {key_of(name) for name in CASES} | {(1, "not-reloaded")} == {(pitfall, name) for name, (pitfall, _look) in TABLE.items()}


@pytest.mark.parametrize("name", CASES)
def test_pitfall(node, name):
    case, (pitfall, word) = CASES[name], key_of(name)
    case.base(node)
    before = look(node, **case.options)
    assert not [problem for problem in named(before, word) if case.said in problem["message"]]
    case.prepare(node)
    result = look(node, **case.options)
    found = [problem for problem in named(result, word) if case.said in problem["message"]]
    assert len(found) == 1, result["problems"]
    assert (found[0]["pitfall"], found[0]["severity"]) == (pitfall, case.severity)
    assert "\n" not in found[0]["message"]


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("runtime", ["containerd", "crio"])
def test_a_node_without_any_plugin_is_told_so_once(node, elsewhere, folder, runtime):
    node.run(["sh", "-c", "rm -r /opt/cni/bin/*"] if folder else ["rm", "-r", "/opt/cni/bin"])
    if not elsewhere:
        NOT_ELSEWHERE(node)
    if runtime == "crio":
        node.write("/etc/crio/crio.conf", CRIO)
    result = look(node)
    (missing,) = [problem for problem in result["problems"] if "portmap" in problem["message"]]
    assert (missing["name"], missing["severity"]) == ("plugin-elsewhere" if elsewhere else "plugin-missing", "error")
    expected = {missing["name"], "masquerade-in-cluster"} if runtime == "containerd" else {missing["name"], "no-network"}
    assert names(result) == expected


# A node in order, and what is said of it


def test_a_healthy_node_has_no_problem_but_what_is_good_to_know(node):
    result = look(node)
    assert names(result) == {"masquerade-in-cluster"}
    assert [item["fact"] for item in result["unavailable"]] == ["status of the runtime"]


def test_a_bridge_that_is_switched_alone_is_in_order(node):
    node.run(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0"])
    assert "bridge-nf-off" in names(look(node))
    node.ip("link add cni0 type bridge")
    done = node.module("sysctl_bridge_nf", {"bridges": ["cni0"], "forwarding": ["ipv4", "ipv6"]})
    assert done["changed"] and names(look(node)) == {"masquerade-in-cluster"}


def test_what_drops_forwarded_packets_but_accepts_those_of_pods_is_in_order(node):
    def told():
        return [(problem["object"], "accept_forwarded" in problem["message"]) for problem in named(look(node), "forward-drop")]

    for family, tool in (("ipv4", "iptables-legacy"), ("ipv4", "iptables"), ("ipv6", "ip6tables")):
        node.run([tool, "-P", "FORWARD", "DROP"])
        assert (f"{'legacy' if 'legacy' in tool else 'nft'} {family}", True) in told()
    options = {"pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"], "non_masquerade_cidrs": [], "accept_forwarded": True}
    assert node.module("masquerade", options)["changed"] and told() == []
    node.run(["nft", "add table ip firewall; add chain ip firewall FORWARD { type filter hook forward priority 0; policy drop; }"])
    assert told() == [("nft ipv4", False)]


def test_a_range_that_only_calico_knows_is_not_called_small(node):
    config = {"cniVersion": "0.4.0", "name": "k8s-pod-network", "plugins": [{"type": "calico", "ipam": {"type": "host-local", "subnet": "usePodCidr"}}]}
    node.write(f"{CONF_DIR}/10-calico.conflist", json.dumps(config))
    assert not named(look(node), "range-small")


def test_a_node_that_this_collection_made_has_no_problem(node):
    """Beside the mode of the file, which is the default."""
    node.run(["rm", FILE])
    made = node.module("node_network", {
        "cni_plugins": {"src": "/usr/lib/cni", "remote_src": True}, "sysctl_bridge_nf": {}, "masquerade": {"cluster_cidrs": ["10.244.0.0/16"]},
        "kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
    })  # fmt: skip
    assert made["changed"], made
    with node.pod("a"):
        result = look(node, sandboxes=[])
    assert names(result) == {"file-mode"}
    assert result["networks"][0]["ours"] is True


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("state", ["bare", "healthy", "others"])
def test_nothing_changes(state, check):
    with Node() as node:
        if state != "bare":
            healthy(node)
        if state == "others":
            node.add_foreign()
            pod(node)
        before = everything(node)
        result = node.module("cni_info", {}, check=check)
        assert result["changed"] is False and "failed" not in result
        assert not diff_dumps(before, everything(node))


def everything(node):
    """The node's state, and the times of what the plugins keep and of /run, where the testbed has its own."""
    kept = node.run(["find", "/var/lib/cni", "/run", "-path", "/run/testbed", "-prune", "-o", "-printf", "%p %T@ %C@\n"]).stdout
    return {**node.dump(), "kept": kept}


def test_the_module_returns_what_its_documentation_names(node):
    import yaml
    from ansible_collections.kubenode.network.plugins.modules import cni_info

    documented = yaml.safe_load(cni_info.RETURN)
    pod(node)
    put(f"{CONF_DIR}/05-x.conflist", "{")(node)
    result = node.module("cni_info", {"sandboxes": []})
    assert set(result) - {"invocation"} == set(documented)
    for name in set(documented) - {"changed", "loaders", "sysctls"}:
        for item in result[name] if isinstance(result[name], list) else [result[name]]:
            expected = set(documented[name]["contains"]) - {"path"} | ({"path"} if name == "plugins" else set())
            assert set(item) == expected, name
    for view in result["loaders"].values():
        assert set(view) == set(documented["loaders"]["contains"]["<name>"]["contains"])


def test_networks_may_share_a_subnet(node):
    for number, keys in enumerate([{"rangeEnd": "10.244.9.99"}, {"rangeStart": "10.244.9.100"}]):
        put(f"{CONF_DIR}/5{number}-x.conflist", name=f"x{number}", ipam={"ranges": [[{"subnet": "10.244.9.0/24", **keys}]]})(node)
    assert not named(look(node), "subnet-overlap")


def test_leases_are_counted_and_judged_by_the_list_that_is_given(node):
    a, b = pod(node, "a"), pod(node, "b")
    node.run(["ip", "netns", "delete", "a"])
    node.run(["sh", "-c", "touch -d '1 hour ago' /var/lib/cni/networks/mynet/10.*"])
    known = {one["network"]: one for one in look(node, sandboxes=[b._id[:12]])["leases"]}["mynet"]
    assert [(one["total"], one["used"], one["free"]) for one in known["range_sets"]] == [(253, 2, 251), (2**64 - 2, 2, 2**64 - 4)]
    assert known["range_sets"][0]["ranges"][0]["gateway"] == "10.244.1.1"
    judged = {one["address"]: (one["container_id"], one["orphaned"]) for one in known["leases"]}
    assert judged[a.ip4] == (a._id, True) and judged[b.ip4] == (b._id, False)
    assert judged[a.ip6] == (a._id, None), "it is young, so the sandbox may be starting"
    unasked = {one["address"]: one["orphaned"] for one in look(node)["leases"][0]["leases"]}
    assert unasked == {a.ip4: None, a.ip6: None, b.ip4: False, b.ip6: False}, "nobody was asked, but a namespace holds those of b"


def test_sandboxes_are_asked_for_over_cri(node):
    a, b = pod(node, "a"), pod(node, "b")
    node.run(["ip", "netns", "delete", "a"])
    node.run(["ip", "netns", "delete", "b"])
    node.run(["sh", "-c", "touch -d '1 hour ago' /var/lib/cni/networks/mynet/10.*"])
    socket = "/run/fake.sock"
    with FakeRuntime(f"/proc/{node.pid}/root{socket}", lambda: [a._id]) as runtime:
        result = look(node, runtime_endpoint=f"unix://{socket}")
        assert runtime.asked == 1
    judged = {one["address"]: one["orphaned"] for one in result["leases"][0]["leases"]}
    assert (judged[a.ip4], judged[b.ip4]) == (False, True)


def test_loaders_differ_and_say_how_they_are_known(node):
    put(f"{CONF_DIR}/05-x.conflist", "{")(node)
    put(f"{CONF_DIR}/07-gone.conflist", name="gone", chain=[{"type": "gone"}])(node)
    loaders = look(node)["loaders"]
    assert {name: view["evidence"] for name, view in loaders.items()} == {
        "containerd": "observed", "crio": "source", "podman": "observed", "dockershim": "source", "libcni": "source"}
    assert {name: view["winner"] for name, view in loaders.items()} == {
        "containerd": None, "crio": "10-mynet.conflist", "podman": "10-mynet.conflist", "dockershim": "10-mynet.conflist", "libcni": None}
    assert loaders["crio"]["invalid_files"]["07-gone.conflist"] == "plugins[0].type: 'gone' is not in /opt/cni/bin"
    assert loaders["containerd"]["installed"] is True and loaders["crio"]["installed"] is False


def test_secrets_of_others_are_not_shown(node):
    calico = {"type": "calico", "policy": {"type": "k8s", "k8s_auth_token": "hush-1"}, "etcd": [{"password": "hush-2", "user": "u"}], "clientKey": "hush-3"}
    put(f"{CONF_DIR}/05-calico.conflist", chain=[calico], secretName="hush-4")(node)
    result = look(node)
    assert "hush" not in json.dumps(result)
    shown = result["networks"][0]["config"]["plugins"][0]
    assert shown["policy"] == {"type": "k8s", "k8s_auth_token": "********"} and shown["etcd"] == [{"password": "********", "user": "u"}]


def test_chains_of_single_pods_are_left_out(node):
    with node.pod("a", capabilities={"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}):
        firewall = look(node)["firewall"]
    assert firewall["iptables"] == {"version": firewall["iptables"]["version"], "variant": "nf_tables"}
    assert {"CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ"} <= set(firewall["chains"]["nft"]["ipv4"])
    assert not [name for name in firewall["chains"]["nft"]["ipv4"] if name.startswith("CNI-DN-")]
    assert firewall["legacy_tables"] == {"ipv4": [], "ipv6": []}


def test_only_programs_that_are_plugins_for_sure_are_run(node):
    """An agent's program that hangs, or does something, when it is run, beside one of the same kind that a network names."""
    for name in ("agent", "calico"):
        node.write(f"/opt/cni/bin/{name}", f"#!/bin/sh\necho $CNI_COMMAND >> /run/ran-{name}\nsleep 1\n", 0o755)
    put(f"{CONF_DIR}/50-calico.conflist", chain=[{"type": "calico", "ipam": {"type": "calico"}}], name="calico")(node)
    found = {one["name"]: one for one in look(node)["plugins"]}
    assert not node.exists("/run/ran-agent") and node.read("/run/ran-calico") == "VERSION\n"
    agent = found["agent"]
    assert (agent["path"], agent["asked"], agent["versions"], agent["error"]) == ("/opt/cni/bin/agent", False, [], None)
    assert (found["calico"]["asked"], found["bridge"]["asked"]) == (True, True) and "does not answer VERSION" in found["calico"]["error"]


def test_other_folders_than_the_runtimes(node):
    node.run(["mkdir", "-p", "/opt/nets"])
    put("/opt/nets/20-x.conflist", name="x")(node)
    result = look(node, conf_dir="/opt/nets/", bin_dirs=["/usr/lib/cni"])
    assert [one["file"] for one in result["networks"]] == ["20-x.conflist"]
    assert {one["path"].rpartition("/")[0] for one in result["plugins"]} == {"/usr/lib/cni"}
    assert result["runtime"]["conf_dir"] == CONF_DIR


def test_what_cannot_be_had_is_named_and_the_rest_is_there(node):
    """No ip, nft or iptables, a damaged document, settings that are no TOML, a socket where nobody listens, a folder for a file."""
    node.write("/etc/kubenode-network/node.json", "{")
    node.write("/etc/containerd/config.toml", "= x")
    node.run([sys.executable, "-c", f"import socket; socket.socket(socket.AF_UNIX).bind('{SOCKET}')"], check=False)
    node.run(["sh", "-c", f"mkdir -p /run/containerd; rm -f {SOCKET}; {sys.executable} -c \"import socket; socket.socket(socket.AF_UNIX).bind('{SOCKET}')\""])
    node.run(["mount", "-t", "tmpfs", "tmpfs", "/usr/sbin"])
    node.run(["ln", "-s", "/nowhere", f"{CONF_DIR}/05-dangling.conflist"])
    result = look(node)
    facts = {item["fact"]: item["reason"] for item in result["unavailable"]}
    assert "node.json" in facts["document"] and "is not TOML" in facts["runtime settings"]
    assert "cannot be asked: Connection refused" in facts["status of the runtime"]
    assert result["firewall"]["iptables"] is None
    assert [one["name"] for one in result["networks"]] == ["mynet"]
    assert named(result, "file-broken")[0]["message"].startswith(f"{CONF_DIR}/05-dangling.conflist is not valid")


def test_strange_files_are_passed_over_or_named(node):
    deep = '{"cniVersion": "1.0.0", "name": "deep", "plugins": [{"type": "bridge", "x": ' + "[" * 900 + "]" * 900 + "}]}"
    for name, text in {"20-null.conf": '{"name": null, "type": "bridge"}', "21-deep.conflist": deep, "22-utf8-\udcff.conf": "{", "23-list.conf": "[]",
                       "24-folder.conflist/x": "", "25-number.conflist": '{"name": 1, "plugins": []}'}.items():  # fmt: skip
        node.write(f"{CONF_DIR}/{name}", text)
    result = node.module("cni_info", {})
    assert [one["name"] for one in result["networks"]] == ["mynet", "", "deep"]
    assert [item["fact"] for item in result["unavailable"]] == ["status of the runtime"]
    assert {problem["object"] for problem in named(result, "file-broken")} == {"22-utf8-\\udcff.conf", "23-list.conf", "25-number.conflist"}


# A real containerd


@pytest.mark.parametrize("suite", SUITES)
def test_pitfall_1_not_reloaded_and_pitfall_5_broken_file(node, suite):
    with Containerd(node, program=Program("containerd", suite)) as containerd:
        containerd.wait_ready()
        result = look(node)
        assert names(result) == {"masquerade-in-cluster"} and result["unavailable"] == []
        runtime = result["runtime"]
        assert (runtime["name"], runtime["source"], runtime["socket"]) == ("containerd", SOCKET, SOCKET)
        assert (runtime["network_ready"], runtime["load_status"], runtime["bin_dirs"]) == (True, "OK", ["/opt/cni/bin"])
        assert runtime["release"] == Program("containerd", suite).version

        # What a file that is moved in from elsewhere does: containerd does not see it.
        put("/etc/cni/new.conflist", name="new")(node)
        node.run(["mv", "/etc/cni/new.conflist", f"{CONF_DIR}/05-new.conflist"])
        found = named(look(node), "not-reloaded")
        assert [(one["pitfall"], one["severity"]) for one in found] == [(1, "error")]
        assert found[0]["message"].startswith("containerd uses the network 'mynet', as it read it before 05-new.conflist came or changed")
        # The advice works.
        node.run(["mv", f"{CONF_DIR}/05-new.conflist", f"{CONF_DIR}/05-new.tmp"])
        node.run(["mv", f"{CONF_DIR}/05-new.tmp", f"{CONF_DIR}/05-new.conflist"])
        containerd.wait_ready()
        assert not named(look(node), "not-reloaded")

        node.write(f"{CONF_DIR}/05-new.conflist", "{")
        containerd.wait_ready(False)
        result = look(node)
        assert not named(result, "not-reloaded") and named(result, "file-broken")[0]["severity"] == "error"
        assert result["runtime"]["network_ready"] is False and "05-new.conflist" in result["runtime"]["load_status"]
        # Mended where containerd does not look.
        put("/etc/cni/new.conflist", name="new")(node)
        node.run(["ln", "-f", "/etc/cni/new.conflist", f"{CONF_DIR}/04-new.conflist"])
        assert "containerd is not ready though 04-new.conflist is valid: cni config load failed" in named(look(node), "not-reloaded")[0]["message"]


def test_pods_of_a_real_containerd_are_not_orphaned(node):
    with Containerd(node) as containerd:
        containerd.wait_ready()
        sandbox = containerd.pod("a")
        node.run(["sh", "-c", "touch -d '1 hour ago' /var/lib/cni/networks/mynet/10.*"])
        result = look(node)
        (known,) = result["leases"]
        mine = [one for one in known["leases"] if one["address"] == sandbox.ips[0]]
        assert [(one["container_id"], one["interface"], one["netns_alive"], one["orphaned"]) for one in mine] == [(sandbox.id, "eth0", True, False)]
        assert names(result) == {"masquerade-in-cluster"}
        sandbox.stop()
