# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""sysctl.d(5) and modprobe.d(5) as tables. tests/integration/test_boot_files.py holds the first against the real programs."""

from __future__ import annotations

import time

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _boot_files as boot
from hypothesis import given
from hypothesis import strategies as st

KEY = "net/ipv4/ip_forward"
ETC, RUN, LIB = "/etc/sysctl.d/", "/run/sysctl.d/", "/usr/lib/sysctl.d/"
ON, OFF = "net.ipv4.ip_forward = 1\n", "net.ipv4.ip_forward = 0\n"


def last(texts, program=boot.SYSTEMD):
    found = boot.last_setting(texts, KEY, program)
    return None if found is None else (found.path, found.line, found.value)


@pytest.mark.parametrize(("texts", "expected"), [
    ({}, None),
    ({ETC + "10-a.conf": "net.ipv6.conf.all.forwarding = 0\n"}, None),
    ({ETC + "10-a.conf": ON, ETC + "20-a.conf": OFF}, (ETC + "20-a.conf", 1, "0")),
    ({LIB + "20-a.conf": OFF, ETC + "10-a.conf": ON}, (LIB + "20-a.conf", 1, "0")),
    ({LIB + "20-a.conf": OFF, ETC + "20-a.conf": ON}, (ETC + "20-a.conf", 1, "1")),
    ({LIB + "20-a.conf": OFF, ETC + "20-a.conf": "", ETC + "10-a.conf": ON}, (ETC + "10-a.conf", 1, "1")),
    ({RUN + "20-a.conf": OFF, LIB + "20-a.conf": ON}, (RUN + "20-a.conf", 1, "0")),
    ({ETC + "9-a.conf": OFF, ETC + "10-a.conf": ON}, (ETC + "9-a.conf", 1, "0")),
    ({ETC + "a.conf": OFF, ETC + "Z.conf": ON}, (ETC + "a.conf", 1, "0")),
    ({ETC + "20-a.conf.bak": OFF, ETC + "20-a.txt": OFF, ETC + "10-a.conf": ON}, (ETC + "10-a.conf", 1, "1")),
    ({ETC + "sub/20-a.conf": OFF}, None),
    ({ETC + "1.conf": "# x\n\n ; y\n  net/ipv4/ip_forward=1  \n"}, (ETC + "1.conf", 4, "1")),
    ({ETC + "1.conf": "-net.ipv4.ip_forward = 0\n"}, (ETC + "1.conf", 1, "0")),
    ({ETC + "1.conf": "net.ipv4.conf.all.forwarding = 0\n"}, (ETC + "1.conf", 1, "0")),
    ({ETC + "1.conf": ON, ETC + "2.conf": "net.ipv4.* = 0\n"}, (ETC + "1.conf", 1, "1")),
    ({ETC + "1.conf": "net.ipv4.ip_f* = 0\n"}, (ETC + "1.conf", 1, "0")),
    ({ETC + "1.conf": "net.* = 0\n"}, None),
    ({ETC + "1.conf": "net.ipv4.ip_[e-g]orwar? = 0\n"}, (ETC + "1.conf", 1, "0")),
    ({ETC + "1.conf": "net.ipv4.ip_[!f]orward = 0\nnet.ipv4.ip_[g-a]orward = 0\n"}, None),
    ({ETC + "1.conf": "net.ipv4.* = 0\n-net.ipv4.ip_forward\n"}, None),
    ({ETC + "1.conf": "net.ipv4.ip_forward\nfoo\n=\n- = 3\n"}, None),
    ({ETC + "1.conf": "net.*.ip_forward = 1\n", ETC + "2.conf": "net.ipv4.ip_* = 0\n", ETC + "3.conf": "net.*.ip_forward = 1\n"}, (ETC + "2.conf", 1, "0")),
])
def test_the_last_word_on_a_key(texts, expected):
    assert last(texts) == expected


def test_where_the_two_programs_differ():
    """procps reads /etc/sysctl.conf behind all others; a line that says again what an earlier one said counts there by its place."""
    texts = {ETC + "1.conf": ON, boot.SYSCTL_FILE: OFF}
    assert (last(texts)[2], last(texts, boot.PROCPS)) == ("1", (boot.SYSCTL_FILE, 1, "0"))
    texts = {ETC + "1.conf": "net.*.ip_forward = 1\n", ETC + "2.conf": "net.ipv4.ip_* = 0\n", ETC + "3.conf": "net.*.ip_forward = 1\n"}
    assert (last(texts)[2], last(texts, boot.PROCPS)) == ("0", (ETC + "3.conf", 1, "1"))


@pytest.mark.parametrize(("name", "key"), [
    ("net.ipv4.ip_forward", "net/ipv4/ip_forward"), ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
    ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"), ("kernel", "kernel"), ("", ""),
])
def test_both_spellings_of_a_key(name, key):
    assert boot.normal_key(name) == key


@given(st.dictionaries(st.sampled_from([ETC + "1.conf", RUN + "2.conf", boot.SYSCTL_FILE]), st.text(alphabet="net.ipv4/_forward*?[]!-^\\= 01#;\n")))
def test_any_text_is_read(texts):
    for program in boot.PROGRAMS:
        found = boot.last_setting(texts, KEY, program)
        assert found is None or (found.path in texts and found.value is not None)


@pytest.mark.parametrize(("one", "other", "same"), [
    ("1", "1", True), ("0x1", "1", True), ("01", "1", True), ("1", "2", False), ("0", "1", False), ("a b", "a b", True), ("", "1", False), ("08", "8", False),
])
def test_values_that_the_kernel_reads_alike(one, other, same):
    assert boot.same_value(one, other) is same


@pytest.mark.parametrize(("text", "found"), [
    ("blacklist br_netfilter\n", [(1, "blacklist br_netfilter")]),
    ("# blacklist br_netfilter\nblacklist  br-netfilter # no\n", [(2, "blacklist br-netfilter # no")]),
    ("install br_netfilter /bin/true\n", [(1, "install br_netfilter /bin/true")]),
    ("\ninstall \\\n br_netfilter \\\n /bin/false\nblacklist bridge\n", [(2, "install br_netfilter /bin/false")]),
    ("install br_netfilter /sbin/modprobe --ignore-install br_netfilter\nalias x br_netfilter\noptions br_netfilter a=1\n", []),
    ("blacklist br_netfilter_x\n", []),
])
def test_what_keeps_a_module_from_being_loaded(text, found):
    assert [(block.line, block.text) for block in boot.blocks({"/etc/modprobe.d/x.conf": text}, "br_netfilter")] == found


def test_a_file_of_modprobe_that_another_one_masks():
    texts = {"/lib/modprobe.d/x.conf": "blacklist br_netfilter\n", "/etc/modprobe.d/x.conf": "\n", "/etc/modprobe.d/y": "blacklist br_netfilter\n"}
    assert boot.blocks(texts, "br_netfilter") == []


def test_many_patterns_take_no_minute():
    """Each is compiled once, whatever number of keys they are held against."""
    texts = {ETC + "99-z.conf": "".join(f"net.ipv4.conf.*{number}.forwarding = 0\n" for number in range(5000))}
    start = time.process_time()
    assert boot.overrides(texts, {f"net/ipv6/conf/eth{number}/accept_ra": "2" for number in range(20)}) == []
    assert time.process_time() - start < 5
