# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other people left on a node: none of it is ours, and none of it may change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .node import Node

_NAT = """*nat
:{chain} - [0:0]
-A PREROUTING -p tcp -m tcp --dport {port} -j {chain}
-A POSTROUTING -s {source} -m comment --comment "foreign {chain}" -j MASQUERADE
-A {chain} -p tcp -m tcp -j DNAT --to-destination {target}
COMMIT
*filter
:{chain}-F - [0:0]
-A FORWARD -j {chain}-F
-A {chain}-F -s {source} -j ACCEPT
-A {chain}-F -d {target_host} -j RETURN
COMMIT
"""
_NFT = """table inet foreign {
  set allowed { type ipv4_addr; flags interval; elements = { 203.0.113.0/25, 203.0.113.200 } }
  counter seen { }
  chain input { type filter hook input priority 10; policy accept; ip saddr @allowed counter accept; }
  chain named { counter name "seen" return; }
}
table ip6 foreign6 {
  chain post { type nat hook postrouting priority 110; ip6 saddr fd31::/64 masquerade; }
}
"""
_LINKS = (
    "link add br-foreign type bridge", "link add vethforeign address 02:00:00:00:f0:01 mtu 1300 type veth peer name foreign0 mtu 1300",
    "link set foreign0 address 02:00:00:00:f0:02", "link set vethforeign master br-foreign up", "link set foreign0 up",
    "link set br-foreign up",
    "addr add 172.30.0.1/24 dev br-foreign", "addr add fd30::1/64 dev br-foreign nodad", "addr add 172.30.1.1/32 dev lo",
    "route add 172.30.8.0/24 via 172.30.0.8", "route add fd30:8::/64 via fd30::8", "route add blackhole 198.18.0.0/15",
    "route add default via 172.30.0.9 table 100", "rule add from 172.30.0.0/24 lookup 100 priority 1000",
)
_UPLINK = ("addr add 192.0.2.77/24 dev eth0", "addr add 2001:db8:0:1::77/64 dev eth0 nodad", "route add 203.0.113.0/24 via 192.0.2.1")
_EBTABLES = ("-A FORWARD -s 02:00:00:00:00:77 -j DROP", "-N FOREIGN", "-A OUTPUT -o foreign+ -j FOREIGN")


def _list(name: str, subnet: str) -> str:
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]]}
    bridge = {"type": "bridge", "bridge": f"cni-{name}", "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}, {"type": "tuning"}]
    return json.dumps({"cniVersion": "0.4.0", "name": name, "plugins": plugins}, indent=3) + "\n"


_FILES = (
    ("/etc/cni/net.d/87-podman-bridge.conflist", _list("podman", "10.88.0.0/16"), 0o644),
    ("/etc/cni/net.d/50-other.conf", '{"cniVersion": "0.3.1", "name": "other", "type": "ptp"}', 0o600),
    ("/etc/cni/net.d/old/10-old.conflist", _list("old", "10.89.0.0/16"), 0o640),
    ("/etc/cni/net.d/10-disabled.conflist.bak", "{not json", 0o644),
    ("/etc/cni/net.d/README", "Ask the storage team before you change anything here.\n", 0o444),
    ("/opt/cni/bin/foreign", "#!/bin/sh\nexit 1\n", 0o755),
    ("/etc/sysctl.d/50-foreign.conf", "# keep\nnet.ipv4.conf.all.log_martians = 1\n", 0o644),
    ("/etc/modules-load.d/foreign.conf", "# keep\nloop\n", 0o644),
)


def add(node: Node) -> None:
    for number, tool in enumerate(("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft")):
        six = tool.startswith("ip6")
        host = f"fd30::{number + 5}" if six else f"172.30.0.{number + 5}"
        words = {"chain": f"FOREIGN-{number}", "port": 9900 + number, "source": "fd30:9::/64" if six else "172.30.9.0/24",
                 "target": f"[{host}]:80" if six else f"{host}:80", "target_host": host}
        node.run([f"{tool}-restore", "--noflush"], input=_NAT.format(**words))
    node.run(["nft", "-f", "-"], input=_NFT)
    for rule in _EBTABLES:
        node.run(["ebtables-nft", *rule.split()])
    node.ip(*_LINKS, *(_UPLINK if node.ip4 else ()))
    for path, text, mode in _FILES:
        node.write(path, text, mode)
