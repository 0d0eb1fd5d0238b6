# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test bed keeps its own promises: what it shows is true, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from testbed import (
    CommandError,
    ModuleCrash,
    NetworkError,
    Node,
    Outside,
    PluginError,
    ProofError,
    diff_dumps,
    load_network,
    network_files,
    proof,
    wait_for,
)

RANGES = ["10.244.1.0/24", "fd00:10:244:1::/64"]
LIST = "/etc/cni/net.d/10-mynet.conflist"


def mynet(masquerade: bool = True, **bridge) -> str:
    ipam = {"type": "host-local", "ranges": [[{"subnet": cidr}] for cidr in RANGES], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
    first = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipMasq": masquerade, "ipam": ipam, **bridge}
    second = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return json.dumps({"cniVersion": "0.4.0", "name": "mynet", "plugins": [first, second]})


def host_traces() -> list[str]:
    """What a node would leave on the host; not everything there, for others work on it too."""
    mounted = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    points = mounted & {"/etc", "/opt", "/var/lib", "/etc/cni", "/opt/cni", "/etc/sysctl.d", "/run/netns/left"}
    links = set(os.listdir("/sys/class/net")) & {"lan", "port10", "br-foreign", "vethforeign", "foreign0"}
    files = [path for path in ("/run/testbed", "/run/netns/left", "/opt/cni/bin/foreign", LIST) if os.path.exists(path)]
    return sorted([*points, *links, *files])


def gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


# The node itself

def test_nothing_is_left_after_an_error():
    before = host_traces()
    with pytest.raises(ZeroDivisionError):
        with Node() as node:
            pids = [node.pid, node.outside.pid]
            node.add_foreign()
            node.install_plugins()
            node.write(LIST, mynet())
            node.pod("left")
            server = node.serve_tcp(80)
            assert not any(map(gone, pids))
            raise ZeroDivisionError
    assert all(map(gone, pids))
    server.stop()
    assert host_traces() == before


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_node_dies_with_the_process_that_made_it(ending):
    code = "import time; from testbed import Node; node = Node(); print(node.pid, node.outside.pid, flush=True); time.sleep(60)"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env, text=True) as owner:
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert not any(map(gone, pids))
        owner.send_signal(ending)
    wait_for(lambda: all(map(gone, pids)), what="end of the node")


def test_a_kept_node_outlives_its_maker_until_it_is_ended():
    code = "from testbed import Node; node = Node(); node.keep(); print(node.pid, node.outside.pid); print(node.enter_command())"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, text=True, check=True)
    numbers, enter = done.stdout.splitlines()
    pids = [int(word) for word in numbers.split()]
    try:
        seen = subprocess.run([*enter.split(), "ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
        assert "eth0" in seen
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
    wait_for(lambda: all(map(gone, pids)), what="end of the node")


def test_what_a_node_writes_is_its_own(node):
    for path in ("/etc/testbed-x", "/opt/testbed-x", "/var/lib/testbed-x", "/run/testbed-x", "/etc/cni/net.d/testbed-x"):
        node.write(path, "text\n", 0o640)
        assert node.read(path) == "text\n" and node.exists(path)
        assert node.run(["stat", "-c", "%a", path]).stdout == "640\n"
        assert not os.path.exists(path)
    assert not node.exists("/etc/no-such-file")
    assert {"/etc/testbed-x", "/opt/testbed-x", "/var/lib/testbed-x", "/etc/cni/net.d/testbed-x"} <= node.dump()["files"].keys()
    assert node.read("/etc/passwd") == Path("/etc/passwd").read_text()


def test_a_node_starts_empty_and_quiet(node):
    assert os.path.exists("/etc/sysctl.d") and node.run(["ls", "-A", "/etc/sysctl.d", "/etc/cni"]).stdout == "/etc/cni:\n\n/etc/sysctl.d:\n"
    sysctls = node.dump()["sysctls"]
    switches = [key for key in sysctls if key.startswith("net/bridge/bridge-nf-call-")]
    assert len(switches) == 3
    assert {sysctls[key] for key in (*switches, "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")} == {"0"}
    assert sorted(node.run(["ls", "/sys/class/net"]).stdout.split()) == ["eth0", "lo"]
    assert node.run(["ls", "/sys/fs/cgroup"]).stdout.split() == sorted(os.listdir("/sys/fs/cgroup"))


def test_a_failed_command_says_what_it_said(node):
    with pytest.raises(CommandError, match="(?s)ip link show nope: exit 1.*does not exist"):
        node.run(["ip", "link", "show", "nope"])
    assert node.run(["false"], check=False).returncode == 1
    assert node.run(["cat"], input="over\n").stdout == "over\n"


def test_a_command_that_takes_too_long_is_ended(node):
    with pytest.raises(subprocess.TimeoutExpired):
        node.run(["sleep", "4711"], timeout=0.3)
    wait_for(lambda: "4711" not in node.run(["ps", "-eo", "args"]).stdout, what="end of sleep")


# The uplink and the world outside

def test_the_uplink_leads_to_the_internet_with_its_mtu(node):
    assert node.dump()["links"]["eth0"]["mtu"] == 1450
    for address, room in ((node.outside.ip4, 1422), (node.outside.ip6, 1402)):
        proof.ping(node, address, size=room)
        with pytest.raises(ProofError, match="(?i)too long"):
            proof.ping(node, address, size=room + 1)


def test_servers_report_the_source_they_saw(node):
    with node.outside.serve_tcp(80), node.outside.serve_udp(53):
        for ask, port in ((proof.tcp, 80), (proof.udp, 53)):
            assert ask(node, node.outside.ip4, port)["source"] == node.ip4
            assert ask(node, node.outside.ip6, port)["source"] == node.ip6
    with pytest.raises(ProofError, match="refused"):
        proof.tcp(node, node.outside.ip4, 80)


def test_a_server_answers_all_the_time(node):
    """However many requests there were before, whose log fills more than a pipe."""
    ask = "import socket\nfor _ in range(2000):\n    with socket.create_connection(('127.0.0.1', 80), 2) as c: c.sendall(b'x'); c.recv(99)"
    server = node.serve_tcp(80)
    node.run([sys.executable, "-c", ask])
    assert len(server.stop()) == 2000


def test_two_nodes_on_one_wire():
    with Outside() as outside, Node("a", outside=outside) as a, Node("b", outside=outside, mtu=1400) as b:
        with b.serve_tcp(80):
            assert proof.tcp(a, b.ip4, 80)["source"] == a.ip4
            assert proof.tcp(a, b.ip6, 80)["source"] == a.ip6
        assert b.dump()["links"]["eth0"]["mtu"] == 1400
    with Node(uplink=False) as bare:
        assert bare.dump()["links"].keys() == {"lo"}


def test_a_power_cut_leaves_files_alone(node):
    fresh = node.dump()
    sleeper = node.popen(["sleep", "100"])
    node.write("/run/x", "gone\n")
    node.run(["ip", "netns", "add", "pod"])
    node.ip("link add br0 type bridge")
    node.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    node.write("/etc/cni/net.d/x", "kept\n")
    node.cut_power()
    assert sleeper.wait() != 0
    assert node.read("/etc/cni/net.d/x") == "kept\n" and not node.exists("/run/x")
    node.run(["rm", "-r", "/etc/cni/net.d"])
    assert diff_dumps(fresh, node.dump()) == ""
    proof.ping(node, node.outside.ip4)
    proof.ping(node, node.outside.ip6)


# Pods

@pytest.fixture
def pod_node(plugin_node):
    plugin_node.write(LIST, mynet())
    plugin_node.write("/etc/cni/net.d/99-loopback.conf", '{"cniVersion": "0.4.0", "name": "lo", "type": "loopback"}')
    plugin_node.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
    return plugin_node


def test_pods_talk_in_both_families(pod_node):
    with pod_node.pod("one") as one, pod_node.pod("two") as two:
        assert [one.ips, two.ips] == [["10.244.1.2", "fd00:10:244:1::2"], ["10.244.1.3", "fd00:10:244:1::3"]]
        assert "UP" in one.run(["ip", "link", "show", "lo"]).stdout
        with two.serve_tcp(80), two.serve_udp(53):
            for mine, theirs in ((one.ip4, two.ip4), (one.ip6, two.ip6)):
                proof.ping(one, theirs)
                assert proof.tcp(one, theirs, 80)["source"] == mine
                assert proof.udp(one, theirs, 53)["source"] == mine
        proof.ping(one, "10.244.1.1")
        proof.ping(one, "fd00:10:244:1::1")


def test_a_pod_that_goes_takes_everything_along(pod_node):
    mappings = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    # the first one leaves the bridge and portmap's own chains
    pod_node.pod("first", capabilities={"portMappings": mappings}).delete()
    before = pod_node.dump()
    pod = pod_node.pod("second", capabilities={"portMappings": mappings})
    assert "--dport 8080" in diff_dumps(before, pod_node.dump())
    pod.delete()
    assert diff_dumps(before, pod_node.dump()) == ""
    assert pod_node.run(["ip", "netns"]).stdout == ""
    assert "10.244.1" not in pod_node.run(["ls", "/var/lib/cni/networks/mynet"]).stdout


def test_host_ports_answer_from_outside_and_for_the_pod_itself(pod_node):
    mappings = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    with pod_node.pod("web", capabilities={"portMappings": mappings}) as web, web.serve_tcp(80):
        assert proof.tcp(pod_node.outside, pod_node.ip4, 8080)["source"] == "192.0.2.1"
        assert proof.tcp(pod_node.outside, pod_node.ip6, 8080)["source"] == "2001:db8:0:1::1"
        assert proof.tcp(web, pod_node.ip4, 8080)["source"]
        with pytest.raises(ProofError):
            proof.tcp(pod_node.outside, pod_node.ip4, 8081)


def test_capabilities_that_the_file_does_not_declare_are_not_passed(pod_node):
    pod_node.write(LIST, mynet().replace('"portMappings": true', '"portMappings": false'))
    mappings = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    with pod_node.pod("web", capabilities={"portMappings": mappings}) as web, web.serve_tcp(80):
        with pytest.raises(ProofError):
            proof.tcp(pod_node.outside, pod_node.ip4, 8080)


def test_outside_sees_the_node_with_masquerade(pod_node):
    with pod_node.pod("one") as one, pod_node.outside.serve_tcp(80):
        assert proof.tcp(one, pod_node.outside.ip4, 80)["source"] == pod_node.ip4
        assert proof.tcp(one, pod_node.outside.ip6, 80)["source"] == pod_node.ip6


def test_outside_sees_the_pod_without_masquerade_and_knows_no_way_back(pod_node):
    pod_node.write(LIST, mynet(masquerade=False))
    outside = pod_node.outside
    with pod_node.pod("one") as one:
        proof.ping(one, "fd00:10:244:1::1")  # the bridge's address is usable once its duplicate address detection is over
        with outside.serve_udp(53) as server:
            for address in (outside.ip4, outside.ip6):
                with pytest.raises(ProofError, match="timed out"):
                    proof.udp(one, address, 53, timeout=0.5)
            assert [request["source"] for request in server.stop()] == [one.ip4, one.ip6]
        outside.route(RANGES[0], via=pod_node.ip4)
        outside.route(RANGES[1], via=pod_node.ip6)
        with outside.serve_tcp(80):
            assert proof.tcp(one, outside.ip4, 80)["source"] == one.ip4
            assert proof.tcp(one, outside.ip6, 80)["source"] == one.ip6


def test_an_error_of_a_plugin_is_raised_and_leaves_no_pod(pod_node):
    pod_node.write(LIST, mynet(hairpinMode=True, promiscMode=True))
    before = pod_node.dump()
    with pytest.raises(PluginError, match="cannot set hairpin mode and promiscuous mode") as caught:
        pod_node.pod("bad")
    assert caught.value.plugin == "bridge" and caught.value.error["code"]
    assert pod_node.run(["ip", "netns"]).stdout == ""
    pod_node.run(["rm", "/opt/cni/bin/portmap"])
    pod_node.write(LIST, mynet(bridge="cni1"))
    with pytest.raises(PluginError, match='failed to find plugin "portmap" in path'):
        pod_node.pod("bad")
    assert "10.244.1" not in pod_node.run(["ls", "/var/lib/cni/networks/mynet"]).stdout
    assert before["links"].keys() - {"cni1"} <= pod_node.dump()["links"].keys()


def test_the_first_file_counts_even_when_it_is_bad(plugin_node):
    with pytest.raises(NetworkError, match="no network config"):
        plugin_node.pod("none")
    plugin_node.write("/etc/cni/net.d/9-later.conf", '{"name": "later", "type": "bridge"}')
    plugin_node.write("/etc/cni/net.d/10-a.conflist.bak", "")
    plugin_node.run(["mkdir", "/etc/cni/net.d/00-folder.conflist"])
    plugin_node.write(LIST, mynet())
    assert network_files(plugin_node) == [LIST, "/etc/cni/net.d/9-later.conf"]
    assert load_network(plugin_node)["name"] == "mynet"
    lists = ('{"name": "x"}', '{"name": "x", "plugins": []}', '{"name": "x", "plugins": [{}]}', '{"plugins": [{"type": "ptp"}]}')
    for text in ("{", "[]", *lists):
        plugin_node.write("/etc/cni/net.d/.first.conflist", text)
        with pytest.raises(NetworkError, match=".first.conflist"):
            plugin_node.pod("none")


# Dumps

def test_two_dumps_are_equal_whatever_passed_between_them(pod_node):
    pod_node.add_foreign()
    pod = pod_node.pod("one")
    before = pod_node.dump()
    with pod_node.outside.serve_tcp(80):
        proof.tcp(pod, pod_node.outside.ip4, 80)
        proof.tcp(pod, pod_node.outside.ip6, 80)
    time.sleep(1.5)  # duplicate address detection and timers have moved on
    assert diff_dumps(before, pod_node.dump()) == ""


CHANGES = {
    "iptables-legacy-save.filter": ["iptables-legacy", "-A", "FORWARD", "-s", "10.9.9.9", "-j", "ACCEPT"],
    "ip6tables-legacy-save.nat": ["ip6tables-legacy", "-t", "nat", "-A", "POSTROUTING", "-s", "fd99::9", "-j", "ACCEPT"],
    "iptables-nft-save.nat": ["iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "10.9.9.9", "-j", "ACCEPT"],
    "ip6tables-nft-save.filter": ["ip6tables-nft", "-N", "MINE"],
    "ebtables-nft-save.filter": ["ebtables-nft", "-A", "FORWARD", "-p", "ARP", "-j", "DROP"],
    "nft.inet foreign": ["nft", "add", "element", "inet", "foreign", "allowed", "{ 198.51.100.9 }"],
    "links.br-foreign.mtu": ["ip", "link", "set", "br-foreign", "mtu", "1280"],
    "links.vethforeign.port.hairpin": ["ip", "link", "set", "vethforeign", "type", "bridge_slave", "hairpin", "on"],
    "links.eth0.flags": ["ip", "link", "set", "eth0", "promisc", "on"],
    "addresses.lo": ["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"],
    "routes4": ["ip", "route", "add", "10.9.0.0/16", "via", "192.0.2.1", "table", "99"],
    "routes6": ["ip", "-6", "route", "del", "default"],
    "rules4": ["ip", "rule", "add", "priority", "99", "lookup", "99"],
    "rules6": ["ip", "-6", "rule", "add", "priority", "99", "lookup", "99"],
    "sysctls.net/ipv4/ip_forward": ["sysctl", "-qw", "net.ipv4.ip_forward=1"],
    "sysctls.net/ipv6/conf/eth0/accept_ra": ["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2"],
    "sysctls.net/bridge/bridge-nf-call-iptables": ["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"],
    "files./etc/cni/net.d/README": ["chmod", "0600", "/etc/cni/net.d/README"],
    "files./etc/sysctl.d/50-foreign.conf": ["rm", "/etc/sysctl.d/50-foreign.conf"],
    "files./opt/cni/bin/foreign": ["ln", "-sf", "/bin/true", "/opt/cni/bin/foreign"],
    "files./etc/hostname": ["rm", "/etc/hostname"],
}


def test_a_dump_shows_one_change_in_every_place(node):
    node.add_foreign()
    before = node.dump()
    for path, command in CHANGES.items():
        node.run(command)
        after = node.dump()
        lines = diff_dumps(before, after).splitlines()
        assert any(line[2:].startswith(f"{path}: ") for line in lines), (command, lines)
        before = after


def test_foreign_state_is_in_every_part_of_the_dump_and_harms_no_pod(pod_node):
    before = pod_node.dump()
    pod_node.add_foreign()
    after = pod_node.dump()
    tools = ["iptables-legacy-save", "ip6tables-legacy-save", "iptables-nft-save", "ip6tables-nft-save"]
    for tool in tools:
        assert (before[tool], set(after[tool])) == ({}, {"nat", "filter"})
    assert [key for key in before if before[key] == after[key]] == ["rules6"]
    assert (after["links"]["br-foreign"]["mtu"], after["links"]["vethforeign"]["master"]) == (1300, "br-foreign")
    with pod_node.pod("one") as one, pod_node.outside.serve_tcp(80):
        assert proof.tcp(one, pod_node.outside.ip4, 80)["source"] == pod_node.ip4
    assert diff_dumps({"a": [1], "b": 2}, {"a": [1], "b": 2}) == ""
    assert diff_dumps({"a": ["x", "y"], "b": 2}, {"a": ["x", "z"]}) == "- a: y\n+ a: z\n- b: 2"


# Ansible

MODULE = """
from __future__ import annotations
import os, sys
from ansible.module_utils.basic import AnsibleModule
from ..module_utils.words import greet

def main():
    module = AnsibleModule({"name": {"required": True}, "pids": {"type": "list", "elements": "int"}}, supports_check_mode=True)
    if module.params["name"] == "crash":
        raise RuntimeError("fell over")
    if module.params["name"] == "fail":
        module.fail_json(msg="no such name", names=[])
    module.exit_json(changed=not module.check_mode, diff={"on": module._diff}, greeting=greet(module.params["name"]),
                     links=sorted(os.listdir("/sys/class/net")), python=list(sys.version_info[:2]), mood=os.environ.get("MOOD"))
"""


@pytest.fixture
def fake(tmp_path):
    root = tmp_path / "ansible_collections" / "test" / "fake" / "plugins"
    (root / "modules").mkdir(parents=True)
    (root / "module_utils").mkdir()
    (root / "modules" / "hello.py").write_text(MODULE)
    (root / "module_utils" / "words.py").write_text("def greet(name):\n    return f'hello {name}'\n")
    return tmp_path


def test_a_module_runs_in_the_node(node, fake):
    done = node.module("test.fake.hello", {"name": "node", "pids": ["1"]}, collections=fake, env={"MOOD": "good"})
    assert (done["changed"], done["greeting"], done["links"], done["mood"]) == (True, "hello node", ["eth0", "lo"], "good")
    assert done["diff"] == {"on": True} and done["invocation"]["module_args"]["pids"] == [1]
    done = node.module("test.fake.hello", {"name": "node"}, check=True, diff=False, collections=fake, prefix=("env", "MOOD=bad"))
    assert (done["changed"], done["mood"], done["diff"]) == (False, "bad", {"on": False})
    failed = node.module("test.fake.hello", {"name": "fail"}, collections=fake)
    assert failed["failed"] and failed["msg"] == "no such name"
    assert "missing required arguments" in node.module("test.fake.hello", {}, collections=fake)["msg"]
    with pytest.raises(ModuleCrash, match="(?s)Traceback.*fell over"):
        node.module("test.fake.hello", {"name": "crash"}, collections=fake)
    with pytest.raises(ModuleCrash, match="ModuleNotFoundError"):
        node.module("no_such_module", {})


def test_another_python_finds_ansible_and_nothing_else_of_ours(node, fake):
    other = os.path.realpath("/usr/bin/python3")
    plain = subprocess.run([other, "-c", "import sys; print(list(sys.version_info[:2]))"], capture_output=True, text=True, check=True)
    done = node.module("test.fake.hello", {"name": "other"}, collections=fake, python=other)
    assert done["python"] == json.loads(plain.stdout)
    node.run([other, "-c", "import sys; sys.path.insert(0, '/run/testbed/python'); import ansible"])
    assert node.run(["ls", "/run/testbed/python"]).stdout == "ansible\n"


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Write
      ansible.builtin.copy: {dest: /etc/cni/greeting, content: "{{ word }}", mode: "0644"}
    - name: Judge
      ansible.builtin.assert: {that: word != 'bad'}
"""


def test_a_playbook_runs_in_the_node(node, tmp_path):
    first = node.playbook(PLAY, {"word": "good"})
    assert (first.rc, first.changed, node.read("/etc/cni/greeting")) == (0, 1, "good"), first.stdout + first.stderr
    assert first.stats["node"] == {"ok": 2, "failures": 0, "unreachable": 0, "changed": 1, "skipped": 0, "rescued": 0, "ignored": 0}
    path = tmp_path / "play.yml"
    path.write_text(PLAY)
    second = node.playbook(path, {"word": "good"}, ["--check", "--diff"])
    assert (second.rc, second.changed) == (0, 0)
    third = node.playbook(str(path), {"word": "bad"})
    assert (third.rc, third.stats["node"]["failures"]) == (2, 1)
    assert [(task["task"], task["action"], task["status"]) for task in third.tasks] == [
        ("Write", "ansible.builtin.copy", "ok"), ("Judge", "ansible.builtin.assert", "failed")]
    assert third.tasks[1]["result"]["assertion"] == "word != 'bad'"
    assert node.playbook("- hosts: [").rc != 0
