# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be seen of a namespace. The rest is tests/integration/test_host_local_lease.py."""

from __future__ import annotations

import os

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import namespaces, process

SEEN = """Inter-|   Receive                                                |  Transmit
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.244.1.0
        /24 link UNICAST
     |-- 10.244.1.2
        /32 host LOCAL
     |-- 10.244.1.255
        /32 link BROADCAST
fd000010024400010000000000000002 02 40 00 80     eth0
"""


@pytest.fixture
def one_mounted(monkeypatch, tmp_path):
    """A mounted namespace that no process is in: a file of another inode would not be it."""
    path = tmp_path / "a b"
    path.write_text("")
    number = path.stat().st_ino
    line = f"36 24 0:4 net:[{number}] {str(path).replace(' ', chr(92) + '040')} rw shared:3 - nsfs nsfs rw\n"
    other = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 1 0:4 mnt:[17] /x rw - nsfs nsfs rw\nodd\n"
    monkeypatch.setattr(namespaces, "read_text", lambda _path: other + line)
    monkeypatch.setattr(os, "listdir", lambda _path: ["self", "net"])
    return path


def answer(monkeypatch, stdout, stderr="", code=0):
    asked = []

    def run(argv, timeout):
        asked.append((argv, timeout))
        return process.subprocess.CompletedProcess(argv, code, stdout, stderr)

    monkeypatch.setattr(process, "run", run)
    return asked


def test_a_mounted_namespace_is_looked_into(monkeypatch, one_mounted):
    asked = answer(monkeypatch, SEEN)
    holder = f"the network namespace {one_mounted}"
    assert namespaces.addresses() == {"10.244.1.2": holder, "fd00:10:244:1::2": holder}
    assert asked == [(["nsenter", f"--net={one_mounted}", "cat", "/proc/net/dev", "/proc/net/fib_trie", "/proc/net/if_inet6"], 5)]


def test_a_kernel_without_ipv6(monkeypatch, one_mounted):
    answer(monkeypatch, SEEN.rpartition("fd00")[0], "cat: /proc/net/if_inet6: No such file or directory", 1)
    assert list(namespaces.addresses()) == ["10.244.1.2"]


def test_what_cannot_be_entered_is_not_taken_for_empty(monkeypatch, one_mounted):
    answer(monkeypatch, "", "nsenter: reassociate to namespace 'ns/net' failed: Operation not permitted\n", 1)
    with pytest.raises(NodeError, match=f"^the addresses of the network namespace {one_mounted} cannot be seen: nsenter: .* not permitted$"):
        namespaces.addresses()


def test_a_mount_that_is_gone_or_covered_is_passed_over(monkeypatch, one_mounted):
    asked = answer(monkeypatch, "")
    one_mounted.rename(one_mounted.with_name("away"))
    assert namespaces.addresses() == {}
    one_mounted.write_text("another file")
    assert namespaces.addresses() == {} and not asked


def test_a_mount_that_goes_meanwhile_is_passed_over(monkeypatch, one_mounted):
    def run(argv, timeout):
        one_mounted.unlink()
        return process.subprocess.CompletedProcess(argv, 1, "", "nsenter: cannot open: No such file or directory")

    monkeypatch.setattr(process, "run", run)
    assert namespaces.addresses() == {}
