# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program on a node: what it sees, what it mends, and that one part does not hold up another."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from testbed import diff_dumps, program, wait_for

PODS = ["10.244.1.0/24", "fd00:10:244:1::/64"]
CLUSTER = ["10.244.0.0/16", "fd00:10:244::/56"]
DOCUMENT = "/etc/kubenode-network/node.json"
BRIDGE = {"pod_cidrs": PODS}


def command(node, *words, python="/usr/bin/python3", env=None):
    """Run as the launcher runs it: isolated, so that it has no library but its own and the system's."""
    return node.run([python, "-I", program.SENT, *words], check=False, env=env)


def data(node, *words):
    done = command(node, *words, "--json")
    found = json.loads(done.stdout)
    return done.returncode, found["state"], {f"{part['section']}/{part['instance']}": part for part in found["parts"]}


def states(parts):
    return {f"{name}: {item['id']}": item["state"] for name, part in parts.items() for item in part["objects"] if item["state"] != "ok"}


@pytest.fixture
def made(plugin_node):
    """A node of which everything is made that the document can have, a list of somebody else with an entry of ours included."""
    node = plugin_node
    node.write("/etc/cni/net.d/20-theirs.conflist", json.dumps({"cniVersion": "0.4.0", "name": "theirs", "plugins": [
        {"type": "bridge", "bridge": "br9", "ipam": {"type": "host-local", "subnet": "10.9.0.0/16"}}]}))
    result = node.module("node_network", {
        "cni_plugins": {"src": "/usr/lib/cni", "remote_src": True}, "sysctl_bridge_nf": {}, "kubenet_bridge": BRIDGE,
        "masquerade": {"cluster_cidrs": CLUSTER}, "boot_service": program.send(node),
    })  # fmt: skip
    assert not result.get("failed"), result
    for module, options in (("portmap", {"network": "theirs", "snat": True}), ("bandwidth", {"network": "kubenet"})):
        assert not node.module(module, options).get("failed")
    return node


def boot(node):
    """What a reboot does to the network: links, rules and parameters are gone."""
    node.ip("link del cbr0")
    node.run(["nft", "flush", "ruleset"])
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-iptables"):
        node.run(["sysctl", "-qw", f"{key}=0"])


def test_a_node_that_is_as_it_should_be(made):
    before = made.dump()
    code, state, parts = data(made, "status")
    assert (code, state, states(parts)) == (0, "ok", {})
    assert sorted(parts) == ["bandwidth/kubenet", "boot_service/node", "cni_plugins//opt/cni/bin", "kubenet_bridge/cbr0", "masquerade/node",
                             "networks/kubenet", "portmap/theirs", "sysctl_bridge_nf/node"]  # fmt: skip
    assert not any(part["problems"] or part["choices"] or part["changes"] for part in parts.values())
    assert (command(made, "diff").stdout, command(made, "diff").returncode) == ("", 0)
    assert data(made, "apply")[:2] == data(made, "apply", "--check")[:2] == (0, "ok")
    assert diff_dumps(before, made.dump()) == ""


#: Prints each part whose resolved options mean something else than the document has.
RESOLVED = f"""
import json, sys
sys.path.insert(0, {program.SENT!r})
from kubenode_network import _execution
from kubenode_network._document import Document
from kubenode_network._program import parts
from kubenode_network._sections.base import Run
document = Document.load()
for section in parts.SECTIONS:
    for instance in document.instances(section.NAME):
        desired = document.desired(section.NAME, instance)
        for part in _execution.planned_parts([(section, section.resolved(desired), "")], Run(document, check=True)):
            known = document.desired(part.section, part.instance)
            print(part.section, part.instance, part.desired == known or [part.desired, known])
"""


def test_what_is_resolved_says_all_of_a_part(made):
    said = made.run(["/usr/bin/python3", "-I", "-c", RESOLVED]).stdout.splitlines()
    assert len(said) == 8, "one for each part, and the network beside its bandwidth"
    assert [line for line in said if not line.endswith(" True")] == []
    asked = json.loads(made.read(DOCUMENT))["sections"]["kubenet_bridge"]["cbr0"]["asked"]
    assert (asked["mtu"], asked["pod_cidrs"], asked["name"]) == ("auto", PODS, "cbr0")


def test_after_a_reboot_the_node_is_as_it_was(made):
    before = made.dump()
    boot(made)
    code, state, parts = data(made, "status")
    assert (code, state) == (3, "missing")
    found = states(parts)
    assert found["kubenet_bridge/cbr0: bridge:cbr0"] == found["masquerade/node: masquerade:iptables-nft/ipv6"] == "missing"
    assert found["sysctl_bridge_nf/node: sysctl:net/ipv4/ip_forward"] == "drift"
    assert "+mtu: 1450\n" in command(made, "diff").stdout
    assert data(made, "apply", "--check")[0] == 3
    done = command(made, "apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert diff_dumps(before, made.dump()) == "", "the document and what it says of the first contact are among it"


def test_what_is_drifted_in_place_is_mended(made):
    before = made.dump()
    made.ip("link set cbr0 mtu 1300", "addr add 10.99.0.1/24 dev cbr0")
    made.run(["iptables", "-t", "nat", "-I", "KUBENODE-MASQ", "-d", "10.1.1.1", "-j", "RETURN"])
    made.run(["sh", "-c", "rm /etc/cni/net.d/10-kubenet.conflist; echo '#' >> /opt/cni/bin/bridge"])
    code, _state, parts = data(made, "status")
    assert code == 3
    notes = {item["id"]: item["note"] for part in parts.values() for item in part["objects"]}
    assert "mtu 1300 instead of 1450" in notes["bridge:cbr0"]
    assert states(parts)["cni_plugins//opt/cni/bin: file:/opt/cni/bin/bridge"] == "drift"
    assert command(made, "apply").returncode == 0
    left = diff_dumps(before, made.dump())
    assert [line.partition(": ")[0] for line in left.splitlines()] == ["- files./opt/cni/bin/bridge", "+ files./opt/cni/bin/bridge"], "no source for that"


def test_status_says_when_auto_would_choose_otherwise(made):
    made.ip("link set eth0 mtu 1400")
    code, state, parts = data(made, "status")
    assert (code, state) == (0, "ok"), "the node is as it was left"
    assert {name: part["choices"] for name, part in parts.items() if part["choices"]} == {"kubenet_bridge/cbr0": {"mtu": {"now": 1450, "auto": 1400}}}
    assert "kubenet_bridge/cbr0: auto would now choose mtu 1400 (it is 1450" in command(made, "status").stdout
    assert command(made, "apply").returncode == 0
    assert json.loads(made.run(["ip", "-j", "link", "show", "cbr0"]).stdout)[0]["mtu"] == 1450, "what was resolved stays so"


def test_another_alternative_of_iptables_is_one_choice(made):
    made.use_iptables("legacy")
    _code, _state, parts = data(made, "status")
    choices = {name: part["choices"] for name, part in parts.items() if part["choices"]}
    assert choices == {"masquerade/node": {"backend": {"now": "iptables-nft", "auto": "iptables-legacy"}}}


def test_the_program_itself_is_no_text_to_be_shown(made):
    diff = made.module("boot_service", {"state": "absent"}, check=True)["diff"]
    shown = next(item for item in diff if item["before_header"].startswith("file:/usr/local/lib/kubenode-network/"))
    assert shown["before"].startswith("sha256 ") and shown["before"].endswith(", mode 0644, owner 0:0\n")


def test_a_part_that_fails_does_not_hold_up_the_others(made):
    document = made.read(DOCUMENT)
    boot(made)
    made.ip("link add cbr0 type veth peer name other")
    made.run(["mv", "/opt/cni/bin/portmap", "/opt/cni/bin/away"])
    code, state, parts = data(made, "apply")
    assert (code, state) == (1, "failed")
    failed = {name: part["problems"] for name, part in parts.items() if part["problems"]}
    assert sorted(failed) == ["kubenet_bridge/cbr0", "networks/kubenet", "portmap/theirs"]
    assert "name: 'cbr0' is already there as a link of kind" in failed["kubenet_bridge/cbr0"][0]
    assert "'portmap' is not installed in /opt/cni/bin" in failed["networks/kubenet"][0]
    assert made.read("/proc/sys/net/ipv4/ip_forward") == "1\n"
    assert "-A KUBENODE-MASQ -j MASQUERADE" in made.run(["iptables-save", "-t", "nat"]).stdout
    assert made.read(DOCUMENT) == document


def test_what_waits_for_a_link_does_not_hold_up_the_rest(node):
    """A link that is late at boot: its parameter stays in the document and in sysctl.d, by which udev sets it then."""
    node.run(["ip", "-6", "route", "del", "default"])
    node.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=1"])

    def advertised():
        node.outside.advertise()
        return node.run(["ip", "-6", "route", "show", "default", "proto", "ra"]).stdout

    wait_for(advertised)
    program.send(node)
    node.module("sysctl_bridge_nf", {"forwarding": ["ipv4", "ipv6"]})
    document, kept = node.read(DOCUMENT), node.read("/etc/sysctl.d/99-kubenode-network.conf")
    assert "net.ipv6.conf.eth0.accept_ra = 2\n" in kept
    node.ip("link set eth0 down", "link set eth0 name late")
    node.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=0"])

    done = command(node, "apply")
    assert done.returncode == 3
    assert done.stdout.splitlines()[0].split("  ", 2)[2].strip() == "1 change; waiting: sysctl:net/ipv6/conf/eth0/accept_ra for link eth0"
    assert node.read("/proc/sys/net/ipv6/conf/all/forwarding") == "1\n"
    assert (node.read(DOCUMENT), node.read("/etc/sysctl.d/99-kubenode-network.conf")) == (document, kept)
    assert states(data(node, "status")[2]) == {"sysctl_bridge_nf/node: sysctl:net/ipv6/conf/eth0/accept_ra": "waiting"}
    run = node.module("sysctl_bridge_nf", {"forwarding": ["ipv4", "ipv6"]})
    assert (run["changed"], run["warnings"]) == (False, [
        "sysctl_bridge_nf: sysctl:net/ipv6/conf/eth0/accept_ra is left for later, it waits for link eth0"])  # fmt: skip

    node.ip("link set late name eth0", "link set eth0 up")
    node.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=1"])
    assert command(node, "apply").returncode == 0
    assert node.read("/proc/sys/net/ipv6/conf/eth0/accept_ra") == "2\n"


# What a person meets


def test_what_was_not_understood(node):
    program.send(node)
    wrong = {("aply",): "invalid choice: 'aply' (choose from", (): "status|diff|apply", ("status", "--check"): "unrecognized arguments: --check"}
    for words, said in wrong.items():
        done = command(node, *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    assert "exit codes:" in command(node, "--help").stdout
    version = command(node, "--version").stdout
    assert version.startswith("kubenode-network 0.1.0 (pyroute2 ")


def test_a_node_on_which_nothing_is_configured(node):
    program.send(node)
    for verb in ("status", "apply", "diff"):
        done = command(node, verb)
        assert (done.returncode, done.stdout) == (0, f"Nothing is configured on this node: there is no {DOCUMENT}.\n")
    assert data(node, "status") == (0, "ok", {})


def test_a_document_that_cannot_be_read(node):
    program.send(node)
    for text, said in (("{", "cannot be read"), ('{"schema": 2, "sections": {}}', "has schema 2, written by a newer kubenode.network")):
        node.write(DOCUMENT, text)
        for verb in ("status", "apply", "diff"):
            done = command(node, verb)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
            assert said in done.stderr


def test_somebody_who_is_not_root(node):
    program.send(node)
    node.run(["chmod", "644", program.SENT])
    done = node.run(["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-I", program.SENT, "status"], check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"kubenode-network: {DOCUMENT} is root's alone to read (expected to run as root, e.g. by sudo)\n"


def test_colours_are_for_terminals(made):
    boot(made)
    assert "\x1b" not in command(made, "status").stdout

    def on_a_terminal(**env):
        argv = ["script", "--quiet", "--return", "--command", f"/usr/bin/python3 -I {program.SENT} status", "/dev/null"]
        return made.run(argv, check=False, env={"TERM": "xterm", **env}).stdout

    assert "\x1b[31mmissing\x1b[0m" in on_a_terminal()
    assert "\x1b" not in on_a_terminal(NO_COLOR="1")
    lines = [line for line in command(made, "status").stdout.splitlines() if "  " in line.strip()]
    assert len({len(line[:line.rindex(word)]) for line in lines for word in ("ok",) if line.endswith(word)}) == 1, "the columns are aligned"


def test_somebody_who_does_not_listen(made):
    """A pipe that nobody reads to its end is no failure, nor is a stream that was closed; a full disk is."""
    run = f"/usr/bin/python3 -I {program.SENT}"

    def shell(script):
        done = made.run(["bash", "-c", script], check=False)
        return done.stdout, done.stderr

    for verb in ("status", "status --json", "apply", "apply --json"):
        assert shell(f"{run} {verb} | true; echo ${{PIPESTATUS[0]}}") == ("0\n", "")
        assert shell(f"{run} {verb} >&-; echo $? >&2") == ("", "0\n")
        assert shell(f"{run} {verb} >/dev/full; echo $?") == ("1\n", "kubenode-network: what there is to say cannot be written: No space left on device\n")
    for words in ("--help", "--version", "apply --help"):
        assert shell(f"{run} {words} | true; echo ${{PIPESTATUS[0]}}") == ("0\n", "")
        assert shell(f"{run} {words} >/dev/full; echo $?") == ("1\n", "kubenode-network: what there is to say cannot be written: No space left on device\n")
    made.ip("link del cbr0")
    assert shell(f"{run} status | true; echo ${{PIPESTATUS[0]}}") == ("3\n", "")
    assert shell(f"{run} apply | true; echo ${{PIPESTATUS[0]}}") == ("0\n", "")
    assert made.run(["ip", "link", "show", "cbr0"]).returncode == 0


#: Takes a setting out of the document, as an older release might not have had it, and seals it again.
FORGET = f"""
import json, sys
sys.path.insert(0, {program.SENT!r})
from kubenode_network import _document
data = json.load(open(_document.PATH))
del data["sections"][sys.argv[1]][sys.argv[2]]["desired"][sys.argv[3]]
data[_document.SEAL] = _document._seal(_document._unsealed(data))
json.dump(data, open(_document.PATH, "w"))
"""


@pytest.mark.parametrize(("name", "key"), [("kubenet_bridge/cbr0", "txqueuelen"), ("sysctl_bridge_nf/node", "bridges")])
def test_a_part_without_one_of_its_settings_does_not_hold_up_the_others(made, name, key):
    boot(made)
    section, instance = name.split("/")
    made.run(["/usr/bin/python3", "-I", "-c", FORGET, section, instance, key])
    for verb in ("status", "apply"):
        code, state, parts = data(made, verb)
        assert (code, state) == (1, "failed")
        failed = {name: part["problems"] for name, part in parts.items() if part["problems"]}
        assert failed == {name: [f"{DOCUMENT} does not say {key}, as if of another release (expected a run of the playbook to complete it)"]}
    assert "-A KUBENODE-MASQ -j MASQUERADE" in made.run(["iptables-save", "-t", "nat"]).stdout


def test_a_document_on_a_disk_that_is_not_there(node):
    """Not a node on which nothing is configured: that would let the playbook put a new document in its place."""
    program.send(node)
    node.run(["sh", "-c", f"mkdir -p $(dirname {DOCUMENT}); ln -s /mnt/away/node.json {DOCUMENT}"])
    text = f"{DOCUMENT} is a symbolic link that leads nowhere (expected the document, or nothing)"
    for verb in ("status", "apply"):
        done = command(node, verb)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"kubenode-network: {text}\n")
    assert node.module("sysctl_bridge_nf", {})["msg"] == text


# What the node's file systems allow


def unit_command(node):
    unit = node.read("/etc/systemd/system/kubenode-network.service")
    return next(line.partition("=")[2].split() for line in unit.splitlines() if line.startswith("ExecStart="))


def test_programs_may_not_be_run_from_usr_local(made):
    """The launcher cannot be run then; the unit does without it."""
    boot(made)
    made.run(["mount", "--bind", "/usr/local", "/usr/local"])
    made.run(["mount", "-o", "remount,bind,noexec", "/usr/local"])
    done = made.run(unit_command(made), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert data(made, "status")[:2] == (0, "ok")


def test_the_programs_folder_cannot_be_written(node):
    """Neither put there nor taken away: an error in a line, and nothing is touched."""
    options = program.send(node)
    node.run(["mount", "--bind", "/usr/local", "/usr/local"])
    remount = ["mount", "-o", "remount,bind,ro", "/usr/local"]
    node.run(remount)
    before = node.dump()
    assert "/usr/local/lib/kubenode-network cannot be made: Read-only file system; everything done before it" in node.module("boot_service", options)["msg"]
    assert diff_dumps(before, node.dump()) == ""
    node.run(["mount", "-o", "remount,bind,rw", "/usr/local"])
    assert node.module("boot_service", options)["changed"]
    node.run(remount)
    before = node.dump()
    text = "/usr/local/sbin/kubenode-network cannot be removed: Read-only file system; everything done before it was put back, the node is as it was"
    assert node.module("boot_service", {"state": "absent"})["msg"] == f"file:/usr/local/sbin/kubenode-network could not be changed: {text}"
    assert diff_dumps(before, node.dump()) == ""


def test_neither_controller_nor_node_has_the_library(made):
    """All but the bridge is mended, and a line says what the bridge needs."""
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(program.build())) as whole, zipfile.ZipFile(kept, "w") as part:
        for name in whole.namelist():
            if not name.startswith("pyroute2"):
                part.writestr(name, whole.read(name))
    boot(made)
    program.send(made, kept.getvalue())
    code, state, parts = data(made, "apply")
    assert (code, state) == (1, "failed")
    failed = {name: part["problems"] for name, part in parts.items() if part["problems"]}
    assert list(failed) == ["kubenet_bridge/cbr0"]
    assert failed["kubenet_bridge/cbr0"][0].startswith("the Python library pyroute2 is needed on this node to change bridge:cbr0: ModuleNotFoundError")
    assert "-A KUBENODE-MASQ -j MASQUERADE" in made.run(["iptables-save", "-t", "nat"]).stdout
    assert made.read("/proc/sys/net/ipv4/ip_forward") == "1\n"
