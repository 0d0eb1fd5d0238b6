# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reboot of a node with systemd: what a kubelet finds when it starts, and the life of the unit."""

from __future__ import annotations

import json

import pytest
from testbed import program
from testbed.systemd import SystemdNode

PODS = ["10.244.1.0/24", "fd00:10:244:1::/64"]
CLUSTER = ["10.244.0.0/16", "fd00:10:244::/48"]
DOCUMENT = "/etc/kubenode-network/node.json"
UNIT = "kubenode-network.service"
SEEN = "/var/lib/seen"
#: Ordered like the kubelet's own unit, and its name is the kubelet's.
KUBELET = f"""
[Unit]
After=containerd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ip -j addr > {SEEN}-links; cat /proc/sys/net/ipv4/ip_forward > {SEEN}-forward'
ExecStart=/bin/sh -c 'iptables-save -t nat > {SEEN}-nat; ip6tables-save -t nat >> {SEEN}-nat'
[Install]
WantedBy=multi-user.target
"""
#: What Debian's package has in place of a configuration: it throws everything away.
FLUSH = "#!/usr/sbin/nft -f\nflush ruleset\n"


@pytest.fixture(scope="module")
def node():
    with SystemdNode("boot") as made:
        made.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
        made.write("/etc/systemd/system/kubelet.service", KUBELET)
        made.write("/etc/nftables.conf", FLUSH, 0o755)
        made.run(["systemctl", "enable", "--quiet", "kubelet.service", "nftables.service"])
        yield made


def make(node, **sections):
    result = node.module("node_network", {
        "sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": PODS}, "masquerade": {"cluster_cidrs": CLUSTER}, "networks": [], **sections,
    })  # fmt: skip
    assert not result.get("failed"), result
    return result


def seen_by_kubelet(node):
    """The bridge's addresses, the number of masquerading rules, and forwarding, as the kubelet found them after a reboot."""
    node.run(["sh", "-c", f"rm -f {SEEN}-*"])
    node.restart()
    links = {link["ifname"]: link for link in json.loads(node.read(f"{SEEN}-links"))}
    addresses = [f"{address['local']}/{address['prefixlen']}" for address in links["cbr0"]["addr_info"]] if "cbr0" in links else None
    return addresses, node.read(f"{SEEN}-nat").count("-A KUBENODE-MASQ -j MASQUERADE"), node.read(f"{SEEN}-forward").strip()


def properties(node, *names):
    text = node.run(["systemctl", "show", UNIT, *(f"--property={name}" for name in names)]).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def test_without_the_service_the_network_is_gone(node):
    """Or the tests below would prove nothing."""
    make(node)
    assert seen_by_kubelet(node)[:2] == (None, 0)


def test_the_network_is_back_before_the_kubelet_starts(node):
    result = make(node, boot_service=program.send(node))
    assert "warnings" not in result
    document = node.read(DOCUMENT)
    assert properties(node, "LoadState", "UnitFileState", "ActiveState") == {"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "inactive"}
    assert seen_by_kubelet(node) == (["10.244.1.1/24", "fd00:10:244:1::1/64"], 2, "1")
    assert node.run(["systemctl", "is-active", "nftables.service"]).stdout == "active\n", "which flushed all rules before"
    assert node.read(DOCUMENT) == document
    assert node.run(["python3", "-c", "import pyroute2"], check=False).returncode == 1, "but the program has its own"
    times = properties(node, "ExecMainStartTimestampMonotonic", "ExecMainExitTimestampMonotonic", "Result", "ActiveState")
    assert (times["Result"], times["ActiveState"]) == ("success", "active")
    assert node.run(["kubenode-network", "status"]).returncode == 0
    assert node.run(["systemd-analyze", "verify", UNIT]).stderr == ""
    assert not make(node, boot_service=program.send(node))["changed"], "nor does a run after the boot change anything"


def test_a_failure_is_told_and_holds_up_nobody(node):
    """A network whose plugin is gone cannot be judged; the kubelet starts all the same, and the rest is there."""
    plugins = [{"type": "bridge", "bridge": "br9", "ipam": {"type": "host-local", "subnet": "10.9.0.0/16"}}]
    make(node, networks=[{"name": "mine", "plugins": plugins, "bin_dirs": ["/usr/lib/cni"]}])
    node.run(["mv", "/usr/lib/cni/host-local", "/usr/lib/cni/away"])
    assert seen_by_kubelet(node) == (["10.244.1.1/24", "fd00:10:244:1::1/64"], 2, "1")
    assert properties(node, "Result", "ExecMainStatus") == {"Result": "exit-code", "ExecMainStatus": "1"}
    said = node.run(["journalctl", f"--unit={UNIT}", "--output=cat"]).stdout
    assert "networks/mine: failed: plugins[0].ipam.type: 'host-local' is not installed in /usr/lib/cni" in said
    node.run(["mv", "/usr/lib/cni/away", "/usr/lib/cni/host-local"])
    node.run(["systemctl", "restart", UNIT])
    assert properties(node, "Result") == {"Result": "success"}


def test_what_hangs_together_is_back(node):
    """The rules against duplicates need the bridge's MAC address, and kernel parameters."""
    make(node, kubenet_bridge={"pod_cidrs": PODS, "hairpin_mode": "promiscuous-bridge"},
         masquerade={"cluster_cidrs": CLUSTER, "backend": "nftables"}, boot_service=program.send(node))  # fmt: skip
    document, rules = node.read(DOCUMENT), node.run(["nft", "-s", "list", "ruleset"]).stdout
    assert "kubenode" in rules
    node.restart()
    assert properties(node, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert sorted(node.run(["nft", "-s", "list", "ruleset"]).stdout.split("\n")) == sorted(rules.split("\n"))
    assert node.run(["kubenode-network", "status"]).returncode == 0
    assert node.read(DOCUMENT) == document
    make(node, boot_service=program.send(node))


def test_an_upgrade_and_a_removal(node):
    older = program.build() + b"# as from an older release"
    result = make(node, boot_service=program.send(node, older))
    assert [change["resource"] for change in result["changes"]] == ["file:/usr/local/lib/kubenode-network/kubenode-network.pyz", f"document:{DOCUMENT}"]
    assert make(node, boot_service=program.send(node))["changed"]
    assert node.run(["kubenode-network", "--version"]).stdout.startswith("kubenode-network ")
    result = make(node, boot_service={"state": "absent"})
    gone = ["/usr/local/lib/kubenode-network", "/usr/local/sbin/kubenode-network", f"/etc/systemd/system/{UNIT}",
            f"/etc/systemd/system/multi-user.target.wants/{UNIT}"]  # fmt: skip
    assert [path for path in gone if node.exists(path)] == []
    assert properties(node, "LoadState", "ActiveState") == {"LoadState": "not-found", "ActiveState": "inactive"}
    assert UNIT not in node.run(["systemctl", "list-units", "--all", "--plain", "--no-legend"]).stdout
    assert node.run(["ls", "/var/lib/kubenode-network"], check=False).returncode != 0, "no older program is kept"
    assert "cbr0" in node.run(["ip", "-br", "link"]).stdout


def test_legacy_tables_are_back(node):
    """On an image whose iptables is the legacy one."""
    for tool in ("iptables", "ip6tables"):
        node.run(["update-alternatives", "--set", tool, f"/usr/sbin/{tool}-legacy"])
    result = make(node, masquerade={"cluster_cidrs": CLUSTER, "backend": "iptables"}, boot_service=program.send(node))
    assert result["masquerade"]["variant"] == "legacy"
    assert seen_by_kubelet(node) == (["10.244.1.1/24", "fd00:10:244:1::1/64"], 2, "1")
    for tool in ("iptables", "ip6tables"):
        assert "-A KUBENODE-MASQ -j MASQUERADE" in node.run([f"{tool}-legacy-save", "-t", "nat"]).stdout
        assert "KUBENODE" not in node.run([f"{tool}-nft-save"]).stdout
