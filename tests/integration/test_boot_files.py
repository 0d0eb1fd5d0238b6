# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of sysctl.d come to at the next boot: foretold, and done by the real programs (procps, systemd)."""

from __future__ import annotations

import random

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _boot_files as boot
from testbed import diff_dumps

KEY = "net/ipv4/ip_forward"
COMMANDS = {boot.SYSTEMD: "/lib/systemd/systemd-sysctl", boot.PROCPS: "sysctl --system"}
OURS = "/etc/sysctl.d/99-kubenode-network.conf"
SPELLINGS = (
    "net.ipv4.ip_forward", "net/ipv4/ip_forward", "net.ipv4.ip_*", "net/ipv4/ip_f*", "net.ipv4.conf.all.forwarding", "net.ipv4.conf.*.forwarding",
    "net/ipv4/conf/al[a-l]/forwarding", "net.*.ip_forward", "net.ipv4.ip_forwar?", "net.*", "net.ipv4.*", "net.ipv4.conf.all/forwarding",
    "net/ipv4/ip[_]forward", "net/ipv4/ip[!a]forward",
)


@pytest.fixture
def boot_node(node):
    """A node whose folders of sysctl.d are empty, and its own."""
    for folder in boot.SYSCTL_FOLDERS[1:4]:
        node.run(["mkdir", "-p", folder])
        node.run(["mount", "-t", "tmpfs", "none", folder])
    return node


def line(r):
    name, chance = r.choice(SPELLINGS), r.random()
    if chance < 0.1:
        return r.choice("#;") + name + " = 1"
    if chance < 0.2:
        return "-" + name
    if chance < 0.25:
        return name
    return r.choice(["", "-", " \t"]) + name + r.choice(["=", " = ", "\t=  "]) + r.choice(["0", "1", "1 ", "01"])


def test_the_real_programs_agree(boot_node):
    r = random.Random(5)
    places = [f"{folder}/{name}" for folder in boot.SYSCTL_FOLDERS[:4] for name in ("10-a.conf", "99-Z.conf", "99-a.conf", "a.conf", "9.conf", "x.txt")]
    foretold, happened, differing = [], [], 0
    for _number in range(250):
        texts = {path: "".join(line(r) + "\n" for _count in range(r.randint(0, 3))) for path in r.sample([*places, boot.SYSCTL_FILE], r.randint(1, 4))}
        script = "rm -f /etc/sysctl.conf " + " ".join(f"{folder}/*" for folder in boot.SYSCTL_FOLDERS[:4]) + "\n"
        script += "".join(f"cat > {path} <<'EOF'\n{text}EOF\n" for path, text in texts.items())
        for program, command in COMMANDS.items():
            last = boot.last_setting(texts, KEY, program)
            for start in ("0", "1"):
                script += f"echo {start} > /proc/sys/{KEY}; {command} >/dev/null 2>&1; cat /proc/sys/{KEY}\n"
                foretold.append((program, texts, start if last is None else str(int(last.value))))
        seen = boot_node.run(["sh", "-c", script]).stdout.split()
        happened += seen
        differing += seen[:2] != seen[2:]
    wrong = [(what, value) for what, value in zip(foretold, happened, strict=True) if what[2] != value]
    assert not wrong, wrong[:3]
    assert differing > 5, "cases in which the two programs differ"


@pytest.mark.parametrize(("path", "text", "programs"), [
    ("/etc/sysctl.d/99-zz.conf", "\nnet.ipv4.ip_forward = 0\n", [boot.SYSTEMD, boot.PROCPS]),
    ("/usr/lib/sysctl.d/99-sysctl.conf", "\nnet/ipv4/conf/all/forwarding=0\n", [boot.SYSTEMD, boot.PROCPS]),
    ("/run/sysctl.d/a.conf", "#\n-net.ipv4.ip_forward = 0\n", [boot.SYSTEMD, boot.PROCPS]),
    ("/etc/sysctl.conf", "# hardening\nnet.ipv4.ip_forward = 0\n", [boot.PROCPS]),
])
def test_a_later_file_that_undoes_a_value_is_named(boot_node, path, text, programs):
    """And it does undo it, which is then found as drift."""
    node = boot_node
    node.write(path, text)
    before = node.dump()
    done = node.module("sysctl_bridge_nf", {})
    assert done["sysctl_bridge_nf"]["overridden"] == [{"key": "net.ipv4.ip_forward", "value": "0", "path": path, "line": 2, "by": programs}]
    warning = f"sysctl_bridge_nf: {path} line 2 sets net.ipv4.ip_forward to 0 behind {OURS}, by {' and '.join(programs)}; take that line away, or it"
    assert [text[: len(warning)] for text in done["warnings"]] == [warning]
    for program, command in COMMANDS.items():
        node.run(["sh", "-c", f"{command} >/dev/null"], check=False)
        undone = node.read(f"/proc/sys/{KEY}") == "0\n"
        assert undone is (program in programs)
        again = node.module("sysctl_bridge_nf", {})
        assert [change["resource"] for change in again["changes"]] == ([f"sysctl:{KEY}"] if undone else [])
    node.module("sysctl_bridge_nf", {"state": "absent"})
    assert not diff_dumps(before, node.dump())


def test_files_that_do_no_harm(boot_node):
    node = boot_node
    node.write("/etc/sysctl.d/99-zz.conf", "net.ipv4.ip_forward = 1\nnet.ipv4.ip_* = 0\nnet.bridge.bridge-nf-call-iptables=01\n")
    node.write("/etc/sysctl.d/10-early.conf", "net.ipv4.ip_forward = 0\n")
    node.write("/usr/lib/sysctl.d/99-masked.conf", "net.ipv4.ip_forward = 0\n")
    node.run(["ln", "-s", "/dev/null", "/etc/sysctl.d/99-masked.conf"])
    node.write("/etc/sysctl.d/99-zzz.conf.bak", "net.ipv4.ip_forward = 0\n")
    done = node.module("sysctl_bridge_nf", {})
    assert done["sysctl_bridge_nf"]["overridden"] == [] and not done.get("warnings")
    for command in COMMANDS.values():
        node.run(["sh", "-c", f"{command} >/dev/null"], check=False)
        assert not node.module("sysctl_bridge_nf", {})["changed"]


def test_debians_link_to_the_file_of_procps(boot_node):
    """99-sysctl.conf sorts behind ours, and systemd reads it, too."""
    node = boot_node
    node.write("/etc/sysctl.conf", "net.bridge.bridge-nf-call-ip6tables = 0\n")
    node.run(["ln", "-s", "../sysctl.conf", "/etc/sysctl.d/99-sysctl.conf"])
    key = "net.bridge.bridge-nf-call-ip6tables"
    assert node.module("sysctl_bridge_nf", {})["sysctl_bridge_nf"]["overridden"] == [
        {"key": key, "value": "0", "path": "/etc/sysctl.d/99-sysctl.conf", "line": 1, "by": [boot.SYSTEMD]},
        {"key": key, "value": "0", "path": "/etc/sysctl.conf", "line": 1, "by": [boot.PROCPS]},
    ]
    assert node.module("sysctl_bridge_nf", {"bridge_nf": "unmanaged"})["sysctl_bridge_nf"]["overridden"] == []
