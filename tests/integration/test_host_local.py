# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What host-local really gives away, and what we make of its files."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import tempfile
from pathlib import Path

from ansible_collections.kubenode.network.plugins.module_utils._cni import ranges
from ansible_collections.kubenode.network.plugins.module_utils._host import leases
from hypothesis import given, settings
from hypothesis import strategies as st

PLUGINS = Path("/usr/lib/cni")
FULL = "no IP addresses available in range set"


def host_local(command, section, data_dir, container_id, interface="eth0"):
    """Call the plugin as bridge does; it needs neither a namespace nor to be root. (Result, None) or (None, message)."""
    config = {"cniVersion": "1.0.0", "name": "mynet", "type": "bridge", "ipam": {"type": "host-local", **section, "dataDir": data_dir}}
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": container_id, "CNI_IFNAME": interface, "CNI_NETNS": "/run/netns/none", "CNI_PATH": str(PLUGINS)}
    done = subprocess.run([str(PLUGINS / "host-local")], input=json.dumps(config), env=env, capture_output=True, text=True, timeout=30, check=False)
    answer = json.loads(done.stdout) if done.stdout else None
    return (None, answer["msg"]) if done.returncode else (answer, None)


def fill(section, data_dir):
    """Give away addresses until there are none; returns the container ids and the plugin's last word."""
    ids = []
    for _turn in range(100):
        result, error = host_local("ADD", section, data_dir, f"id-{len(ids)}")
        if result is None:
            return ids, error
        ids.append((f"id-{len(ids)}", [entry["address"].partition("/")[0] for entry in result["ips"]]))
    raise AssertionError(f"{section} has no end")


@st.composite
def small_ranges(draw, network):
    """A range of a few addresses below a network, written in one of the ways that host-local takes."""
    prefix = draw(st.integers(network.max_prefixlen - 4, network.max_prefixlen - 2))
    subnet = draw(st.sampled_from(list(network.subnets(new_prefix=prefix))))
    hosts = st.integers(int(subnet[0]), int(subnet[-1])).map(type(subnet[0]))
    bounds = sorted(draw(st.lists(hosts, min_size=2, max_size=2)))
    entry = {"subnet": str(subnet)}
    if draw(st.booleans()):
        entry["rangeEnd"] = str(bounds[1])
    # From the broadcast address on, with no end given, the plugin runs through all that lies behind the subnet.
    if draw(st.booleans()) and (bounds[0] != subnet.broadcast_address or "rangeEnd" in entry):
        entry["rangeStart"] = str(bounds[0])
    if draw(st.booleans()):
        entry["gateway"] = str(draw(st.one_of(hosts, st.just(ipaddress.ip_address("192.0.2.1")))))
    return entry


FOUR = small_ranges(ipaddress.ip_network("10.244.0.0/26"))
SIX = small_ranges(ipaddress.ip_network("fd00::/122"))
SECTIONS = st.one_of(
    st.builds(lambda entry: entry, FOUR),
    st.builds(lambda *entries: {"ranges": [list(entries)]}, FOUR, small_ranges(ipaddress.ip_network("10.245.0.0/26"))),
    st.builds(lambda four, six: {"ranges": [[four], [six]]}, FOUR, SIX),
    st.builds(lambda legacy, six: {**legacy, "ranges": [[six]]}, FOUR, SIX),
)


@settings(max_examples=60, deadline=None)
@given(section=SECTIONS)
def test_ranges_hold_just_what_the_plugin_gives_away(section):
    with tempfile.TemporaryDirectory() as data_dir:
        given_away, error = fill(section, data_dir)
        found = leases.read_leases(data_dir, "mynet")
        sets = ranges.usage(section, [lease.address for lease in found])
    if FULL not in error:  # the plugin takes no such section
        written = sum(len(entries) for entries in section.get("ranges", [])) + ("subnet" in section)
        assert given_away == [] and sum(len(one.ranges) for one in sets) < written
        return
    assert len(given_away) == min(one.total for one in sets)
    held = {lease.address: (lease.container_id, lease.interface) for lease in found}
    assert {address: (name, "eth0") for name, addresses in given_away for address in addresses}.items() <= held.items()
    full = [one for one in sets if not one.free]
    assert full and all(one.used >= len(given_away) for one in sets)


def test_a_lease_lasts_from_add_to_del(tmp_path):
    section = {"ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:244::/64"}]]}
    for name in ("a", "b"):
        host_local("ADD", section, str(tmp_path), name)
    assert [(one.address, one.container_id) for one in leases.read_leases(str(tmp_path), "mynet")] == [
        ("10.244.1.2", "a"), ("10.244.1.3", "b"), ("fd00:244::2", "a"), ("fd00:244::3", "b"),
    ]  # fmt: skip
    host_local("DEL", section, str(tmp_path), "a")
    assert [one.address for one in leases.read_leases(str(tmp_path), "mynet")] == ["10.244.1.3", "fd00:244::3"]
    assert ranges.usage(section, ["10.244.1.3", "fd00:244::3"])[1].free == 2**64 - 3
