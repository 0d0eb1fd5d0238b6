# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: a throw-away node gets its pod network from the site playbook, twice, and two pods prove that it works.

Nothing outside of namespaces made here is touched. KEEP=1 leaves the node there to look around.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml
from testbed import COLLECTIONS, Node, Place, Play, Pod, ProofError, load_network, network_files, proof
from testbed.outside import GATEWAY4, GATEWAY6

VARIABLES = """\
kubenode_network_hosts: all
node_network_pod_cidrs: [10.244.1.0/24, fd00:10:244:1::/64]
node_network_cni_plugins:
  src: /usr/lib/cni
  remote_src: true
node_network_sysctl_bridge_nf: {}
node_network_kubenet_bridge: {}
node_network_masquerade:
  cluster_cidrs: [10.244.0.0/16, fd00:10:244::/56]
"""
BRIDGE = "cbr0"
PORT, HOST_PORT = 80, 8080
HOST_PORTS = {"portMappings": [{"hostPort": HOST_PORT, "containerPort": PORT, "protocol": "tcp"}]}
# What Debian's podman leaves in the folder: somebody else's network, which sorts behind ours and has to stay.
PODMAN_FILE = "/etc/cni/net.d/87-podman-bridge.conflist"
PODMAN_NETWORK = {"cniVersion": "0.4.0", "name": "podman", "plugins": [{"type": "bridge", "bridge": "cni-podman0"}]}

CELL = 30  # width of a column of proofs
STOPPERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLOURED = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class Failed(RuntimeError):
    """The demonstration cannot go on."""


# What is shown

def paint(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOURED else text


def title(text: str) -> None:
    print(f"\n{paint(text, '1')}", flush=True)


def facts(label: str, lines: list[str]) -> None:
    for line in lines:
        print(f"  {paint(f'{label:<8}', '36')}{line}")
        label = ""


def show_files(node: Node, pod: Pod) -> None:
    rows = [(os.path.basename(path), load_network(node, path)) for path in network_files(node)]
    width = max(len(name) for name, _network in rows)
    marks = ["  <- the first: pods get this one" if network == pod.network else "" for _name, network in rows]
    facts("Files", [f"{name:<{width}}  network {network['name']}{mark}" for (name, network), mark in zip(rows, marks)])


def show_bridge(node: Node) -> None:
    links = {link["ifname"]: link for link in json.loads(node.run(["ip", "-j", "address", "show"]).stdout)}
    bridge = links[BRIDGE]
    state = "up" if "UP" in bridge["flags"] else "down"
    facts("Bridge", [f"{BRIDGE} {state}, MTU {bridge['mtu']} (the uplink eth0 has {links['eth0']['mtu']})",
                     *(f"{item['local']}/{item['prefixlen']}" for item in bridge["addr_info"] if item["scope"] == "global")])


def show_rules(node: Node) -> None:
    for label, tool in (("IPv4", "iptables-save"), ("IPv6", "ip6tables-save")):
        lines = [line[3:] for line in node.run([tool, "-t", "nat"]).stdout.splitlines() if re.match("-A .*KUBENODE-", line)]
        rules = [re.sub(r' -m comment --comment "[^"]*"', "", line).partition(" ") for line in lines]
        width = max((len(chain) for chain, _space, _rule in rules), default=0)
        facts(label, [f"{chain:<{width}}  {rule}" for chain, _space, rule in rules] or ["no rule"])


def show_pods(pods: list[Pod]) -> None:
    width = max(len(pod.name) for pod in pods)
    facts("Pods", [f"{pod.name:<{width}}  {', '.join(pod.ips)}" for pod in pods])


# What is proved

@dataclass(frozen=True)
class Lab:
    """The node, its pods and the world outside as one address family sees them."""

    family: str
    outside: Place
    client: Pod
    web: Pod
    client_ip: str
    web_ip: str
    node_ip: str
    gateway: str
    internet_ip: str  # a server of the outside, behind its router
    router_ip: str  # the address with which the outside asks the node
    room: int  # bytes of a ping that fill a packet of the uplink's MTU


def seen_as(expected: str, source: Place, host: str, port: int) -> str:
    """An answer comes back, and it says that the request had the expected source address."""
    try:
        seen = proof.tcp(source, host, port)["source"]
    except ProofError as error:
        raise ProofError(f"expected an answer that names the source {expected}, seen: {error}") from error
    if seen != expected:
        raise ProofError(f"expected the source {expected}, seen: {seen}")
    return f"seen as {seen}"


def echoed(source: Place, host: str, size: int) -> str:
    try:
        proof.ping(source, host, size)
    except ProofError as error:
        raise ProofError(f"expected an echo of {size} bytes, seen: {error}") from error
    return f"{size} bytes echoed"


def pod_to_pod(lab: Lab) -> str:
    return seen_as(lab.client_ip, lab.client, lab.web_ip, PORT)


def pod_to_gateway(lab: Lab) -> str:
    return echoed(lab.client, lab.gateway, 56)


def pod_to_outside(lab: Lab) -> str:
    return seen_as(lab.node_ip, lab.client, lab.internet_ip, PORT)


def full_packet(lab: Lab) -> str:
    return echoed(lab.client, lab.internet_ip, lab.room)


def host_port_from_outside(lab: Lab) -> str:
    return seen_as(lab.router_ip, lab.outside, lab.node_ip, HOST_PORT)


def own_host_port(lab: Lab) -> str:
    return seen_as(lab.gateway, lab.web, lab.node_ip, HOST_PORT)


PROOFS: list[tuple[str, Callable[[Lab], str]]] = [
    ("pod to pod", pod_to_pod),
    ("pod to its gateway", pod_to_gateway),
    ("pod to the outside", pod_to_outside),
    ("... with a full packet", full_packet),
    ("hostPort from the outside", host_port_from_outside),
    ("pod to its own hostPort", own_host_port),
]


def labs(node: Node, client: Pod, web: Pod) -> list[Lab]:
    mtu = json.loads(node.run(["ip", "-j", "link", "show", "eth0"]).stdout)[0]["mtu"]
    gateway4, gateway6 = (next(ip["gateway"] for ip in client.result["ips"] if (":" in ip["address"]) == six) for six in (False, True))
    outside = node.outside
    return [
        Lab("IPv4", outside, client, web, client.ip4, web.ip4, node.ip4, gateway4, outside.ip4, GATEWAY4, mtu - 20 - 8),
        Lab("IPv6", outside, client, web, client.ip6, web.ip6, node.ip6, gateway6, outside.ip6, GATEWAY6, mtu - 40 - 8),
    ]


def try_out(check: Callable[[Lab], str], lab: Lab) -> tuple[str, str]:
    """A cell of the table, and what was wrong ("" if nothing)."""
    try:
        seen = check(lab)
    except ProofError as error:
        return paint(f"{'FAILED':<{CELL}}", "1;31"), " ".join(str(error).split())
    return f"{paint('ok', '32')}  {seen:<{CELL - 4}}", ""


def show_proofs(families: list[Lab]) -> list[str]:
    """Print the table; return what did not hold."""
    width = max(len(name) for name, _check in PROOFS)
    print(f"  {'':<{width}}  {paint(''.join(f'{lab.family:<{CELL}}' for lab in families).rstrip(), '36')}")
    failures: list[str] = []
    for name, check in PROOFS:
        cells = [(lab.family, *try_out(check, lab)) for lab in families]
        print(f"  {name:<{width}}  {''.join(cell for _family, cell, _wrong in cells).rstrip()}", flush=True)
        failures += [f"{name}, {family}: {wrong}" for family, _cell, wrong in cells if wrong]
    return failures


# The story

def run_site(node: Node) -> Play:
    colour = {"ANSIBLE_FORCE_COLOR": "1", "ANSIBLE_NOCOLOR": "0"} if COLOURED else {}
    play = node.playbook("kubenode.network.site", yaml.safe_load(VARIABLES), env={"ANSIBLE_DISPLAY_SKIPPED_HOSTS": "0", **colour})
    print(play.stdout.strip())
    if play.rc:
        raise Failed(f"the playbook ended with exit status {play.rc} {play.stderr.strip()}".rstrip())
    return play


def configure(node: Node) -> None:
    node.write(PODMAN_FILE, json.dumps(PODMAN_NETWORK))
    title("The node is to have")
    print("  " + VARIABLES.replace("\n", "\n  ").rstrip())
    title("First run of kubenode.network.site")
    if not run_site(node).changed:
        raise Failed("the first run changed nothing on a bare node (expected changed=1)")
    title("Second run: nothing is left to do")
    changed = run_site(node).changed
    if changed:
        raise Failed(f"the second run says changed={changed} (expected changed=0)")


def prove(node: Node) -> list[str]:
    client, web = node.pod("client"), node.pod("web", capabilities=HOST_PORTS)
    title("What the node has now")
    show_files(node, client)
    show_bridge(node)
    show_rules(node)
    show_pods([client, web])
    title("What pods can do with it")
    # The outside knows the way to the pods: without masquerade it would answer, and tell a pod's address.
    for address, via in ((client.ip4, node.ip4), (client.ip6, node.ip6)):
        node.outside.route(address, via)
    with web.serve_tcp(PORT), node.outside.serve_tcp(PORT):
        return show_proofs(labs(node, client, web))


def show_verdict(failures: list[str], seconds: float) -> None:
    total = 2 * len(PROOFS)
    print()
    for failure in failures:
        print(f"  {paint('FAILED', '1;31')}  {failure}")
    verdict = f"{total - len(failures)} of {total} proofs hold, {seconds:.1f} s"
    print(paint(verdict, "1;31" if failures else "1;32"))


def show_kept(node: Node) -> None:
    title("The node is still there")
    print(f"  enter it         {node.enter_command()}")
    print("  enter a pod      ip netns exec web sh        (from inside of the node)")
    print(f"  enter outside    {node.outside.enter_command()}")
    print(f"  run a module     {node.enter_command()} env ANSIBLE_COLLECTIONS_PATH={COLLECTIONS} \\")
    print(f"                     {Path(sys.executable).parent}/ansible localhost -m kubenode.network.kubenet_bridge -a state=absent --check --diff")
    print(f"  end it all       kill {node.pid} {node.outside.pid}")


def stop(number: int, _frame: object) -> NoReturn:
    for each in STOPPERS:  # a second Ctrl-C must not stop the cleaning up
        signal.signal(each, signal.SIG_IGN)
    print("\ndemo: stopped, ending the node", file=sys.stderr)
    raise SystemExit(128 + number)


@contextmanager
def throw_away_node(keep: bool) -> Iterator[Node]:
    """A node that ends with the block; with keep only when the block is interrupted."""
    node = Node()
    try:
        yield node
    except BaseException:
        node.close()
        raise
    if keep:
        node.keep()
    else:
        node.close()


def main() -> int:
    begun = time.monotonic()
    for number in STOPPERS:
        signal.signal(number, stop)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    with throw_away_node(keep) as node:
        try:
            configure(node)
            failures = prove(node)
            show_verdict(failures, time.monotonic() - begun)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:  # Failed, and what the test bed raises
            print(f"\n{paint('FAILED', '1;31')}  {error}")
            failures = [str(error)]
    if keep:
        show_kept(node)
    return 1 if failures else 0


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("demo: namespaces need root")
    sys.exit(main())
