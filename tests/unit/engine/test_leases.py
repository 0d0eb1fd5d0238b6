# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of host-local and libcni, whole and damaged. That real ones look like this is shown in tests/integration."""

from __future__ import annotations

import base64
import json
import os

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import leases

ID, OTHER = "61f57833" * 8, "5831a5a8" * 8
LIVE = "/proc/self/ns/net"


@pytest.fixture
def place(tmp_path):
    """networks/ and results/, as below /var/lib/cni."""
    (tmp_path / "networks" / "mynet").mkdir(parents=True)
    (tmp_path / "results").mkdir(mode=0o700)
    return tmp_path


def lease(place, address, content, network="mynet"):
    (place / "networks" / network / address).write_bytes(content.encode() if isinstance(content, str) else content)


def read(place, network="mynet"):
    return leases.read_leases(str(place / "networks"), network)


def cache(place, name="mynet", container_id=ID, interface="eth0", sandbox=None, **keys):
    """A file as libcni from 0.8 on writes it; its name says nothing of what is in it."""
    interfaces = [{"name": "cni0", "mac": "0a:58:0a:f4:00:01"}, {"name": interface, "sandbox": sandbox}] if sandbox else []
    content = {
        "kind": "cniCacheV1", "containerId": container_id, "ifName": interface, "networkName": name,
        "config": base64.b64encode(b"{}").decode(),
        "result": {"cniVersion": "1.0.0", "interfaces": interfaces, "ips": [{"address": "10.244.1.5/24", "gateway": "10.244.1.1"}]},
        **keys,
    }  # fmt: skip
    write_cache(place, f"{name}-{container_id}-{interface}", json.dumps(content))


def write_cache(place, name, text):
    (place / "results" / name).write_text(text)


def attachments(place, network="mynet"):
    return leases.cached_attachments(network, str(place / "results"))


def holders(place, network="mynet"):
    return leases.sandboxes(network, str(place / "networks"), str(place / "results"))


# Leases


def test_a_lease_says_whose_it_is_and_since_when(place):
    lease(place, "10.244.1.5", f"{ID}\r\neth0")
    path = str(place / "networks" / "mynet" / "10.244.1.5")
    os.utime(path, (1000, 1234.5))
    assert read(place) == [leases.Lease("10.244.1.5", ID, "eth0", path, 1234.5)]


@pytest.mark.parametrize(
    ("content", "container_id", "interface"),
    [(ID, ID, ""), (f"{ID}\n", ID, ""), (f"{ID}\neth0\n", ID, "eth0"), (f" {ID}\r\nnet1 ", ID, "net1"), ("a_b.c-1\r\neth0", "a_b.c-1", "eth0")],
)
def test_older_plugins_wrote_the_id_alone(place, content, container_id, interface):
    lease(place, "10.244.1.5", content)
    assert [(one.container_id, one.interface) for one in read(place)] == [(container_id, interface)]


@pytest.mark.parametrize("content", ["", "\r\neth0", "../x\r\neth0", "a b", "-x", b"\xff\xfe\x00", b"\x00" * 5000, "x\0y"])
def test_a_damaged_file_keeps_its_address_and_belongs_to_nobody(place, content):
    lease(place, "10.244.1.5", content)
    assert [(one.address, one.container_id, one.interface) for one in read(place)] == [("10.244.1.5", "", "")]
    assert holders(place) == {}


def test_what_takes_an_address_without_being_a_file_belongs_to_nobody(place):
    folder = place / "networks" / "mynet"
    (folder / "10.244.1.2").mkdir()
    (folder / "10.244.1.3").symlink_to("/etc/passwd")
    os.mkfifo(folder / "10.244.1.4")
    assert [(one.address, one.container_id) for one in read(place)] == [("10.244.1.2", ""), ("10.244.1.3", ""), ("10.244.1.4", "")]


@pytest.mark.parametrize("name", ["lock", "last_reserved_ip.0", "last_reserved_ip.1", "10.244.1.5.bak", "10.244.1", "010.244.1.5", ".10.244.1.5.swp",
                                  "fd00:0::5", "FD00::5", "fe80::1%eth0", "10.244.1.0_24", "README"])  # fmt: skip
def test_files_that_are_no_leases_are_passed_over(place, name):
    lease(place, name, f"{ID}\r\neth0")
    assert read(place) == []


def test_leases_come_in_the_order_of_their_addresses(place):
    for address in ("fd00::10", "10.244.1.10", "fd00::9", "10.244.1.9"):
        lease(place, address, ID)
    assert [one.address for one in read(place)] == ["10.244.1.9", "10.244.1.10", "fd00::9", "fd00::10"]


@pytest.mark.parametrize("network", ["", ".", "..", "../mynet", "mynet/../other", "/etc", "other", "x\0y"])
def test_a_name_that_is_no_folder_has_no_leases(place, network):
    lease(place, "10.244.1.5", ID)
    (place / "10.244.1.6").write_text(ID)
    assert read(place, network) == []
    assert leases.read_leases(str(place / "nowhere"), network) == []


def test_a_folder_that_cannot_be_listed_is_an_error(place, monkeypatch):
    def denied(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", denied)
    with pytest.raises(NodeError, match="networks/mynet cannot be read: Permission denied"):
        read(place)


# Cached results


def test_an_attachment_is_what_its_file_says(place):
    cache(place, sandbox="/var/run/netns/cni-1")
    assert attachments(place) == [leases.Attachment("mynet", ID, "eth0", "/var/run/netns/cni-1", ("10.244.1.5",))]


def test_attachments_are_counted_by_network(place, monkeypatch):
    monkeypatch.setattr(leases, "CACHE_DIRS", (str(place / "nowhere"), str(place / "results")))
    cache(place)
    cache(place, container_id=OTHER)
    cache(place, name="other")
    write_cache(place, "old-x-eth0", json.dumps({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.5/24"}}))  # of libcni before 0.8
    write_cache(place, "list", "[]")
    write_cache(place, "broken", "{")
    write_cache(place, "deep", "[" * 100000)
    assert leases.attached_networks() == {"mynet": 2, "other": 1}


def test_names_of_files_are_ambiguous_and_their_content_counts(place):
    cache(place, name="mynet-a", container_id="b")
    cache(place, name="mynet", container_id="a-b")
    assert os.listdir(place / "results") == ["mynet-a-b-eth0"]  # the second replaced the first, as libcni would
    assert [one.container_id for one in attachments(place)] == ["a-b"]
    assert attachments(place, "mynet-a") == []


def test_newer_libcni_says_where_the_namespace_is(place):
    cache(place, netns=LIVE)
    assert [one.netns for one in attachments(place)] == [LIVE]


def test_older_libcni_kept_the_result_alone(place):
    result = {"cniVersion": "0.3.1", "interfaces": [{"name": "cni0"}, {"name": "net1", "sandbox": "/proc/1/ns/net"}], "ips": [{"address": "fd00::5/64"}]}
    write_cache(place, f"mynet-{ID}-net1", json.dumps(result))
    write_cache(place, f"mynet-{OTHER}", json.dumps({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.9/16"}}))
    assert sorted(attachments(place), key=lambda one: one.addresses) == [
        leases.Attachment("mynet", OTHER, "eth0", "", ("10.1.0.9",)),
        leases.Attachment("mynet", ID, "net1", "/proc/1/ns/net", ("fd00::5",)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "7", "null", "[" * 100_000, '{"kind": "cniCacheV1"}', '{"kind": "x", "networkName": "mynet"}',
        '{"kind": "x", "networkName": "mynet", "containerId": 5}', '{"kind": "x", "networkName": ["mynet"], "containerId": "a"}',
    ],
)  # fmt: skip
def test_files_that_are_no_results_are_passed_over(place, text):
    write_cache(place, "mynet-x-eth0", text)
    (place / "results" / "mynet-y-eth0").mkdir()
    (place / "results" / "mynet-z-eth0").symlink_to("nowhere")
    assert attachments(place) == []


@pytest.mark.parametrize("result", [None, [], {"ips": 5, "interfaces": {}}, {"ips": [{"address": 5}, {"address": "x"}, 7], "interfaces": [1, {"sandbox": 5}]},
                                    {"ip4": "10.0.0.1"}])  # fmt: skip
def test_a_result_of_another_shape_has_no_addresses(place, result):
    cache(place, result=result)
    assert attachments(place) == [leases.Attachment("mynet", ID, "eth0", "", ())]


def test_there_may_be_no_cache(place):
    assert leases.cached_attachments("mynet", str(place / "nowhere")) == []


def test_both_usual_places_are_looked_at(place, monkeypatch):
    other = place / "cache" / "results"
    other.mkdir(parents=True)
    monkeypatch.setattr(leases, "CACHE_DIRS", (str(place / "results"), str(other)))
    cache(place)
    os.rename(place / "results" / f"mynet-{ID}-eth0", other / "mynet-moved")
    cache(place, container_id=OTHER)
    assert {one.container_id for one in leases.cached_attachments("mynet")} == {ID, OTHER}


# Both together


def test_a_namespace_is_alive_dead_or_unknown(tmp_path):
    assert leases.namespace_alive(LIVE) is True
    assert leases.namespace_alive(str(tmp_path / "gone")) is False
    assert leases.namespace_alive("/proc/self/status/x") is False
    (tmp_path / "cni-1").touch()  # what is left of an unmounted one, or of one that is mounted elsewhere only
    assert leases.namespace_alive(str(tmp_path / "cni-1")) is None
    assert leases.namespace_alive("/run\0") is None is leases.namespace_alive("/run/\ud800")


def test_a_sandbox_is_what_its_leases_and_attachments_say(place):
    lease(place, "10.244.1.5", f"{ID}\r\neth0")
    lease(place, "fd00::5", f"{ID}\r\neth0")
    lease(place, "10.244.1.6", f"{OTHER}\r\nnet1")
    cache(place, sandbox=LIVE)
    cache(place, container_id="no-lease", sandbox="/run/netns/gone")
    assert holders(place) == {
        ID: leases.Holder(ID, "eth0", ("10.244.1.5", "fd00::5"), LIVE, True),
        OTHER: leases.Holder(OTHER, "net1", ("10.244.1.6",), "", None),
        "no-lease": leases.Holder("no-lease", "eth0", ("10.244.1.5",), "/run/netns/gone", False),
    }


@pytest.mark.parametrize(
    ("first", "second", "netns", "alive"),
    [
        ("/run/netns/gone", LIVE, LIVE, True), (LIVE, "/run/netns/gone", LIVE, True), ("/run/netns/gone", "/etc/hostname", "/etc/hostname", None),
        ("/etc/hostname", LIVE, LIVE, True), ("/run/netns/gone", None, "/run/netns/gone", False), (None, None, "", None),
    ],
)  # fmt: skip
def test_of_two_interfaces_the_one_that_lives_longest_counts(place, first, second, netns, alive):
    cache(place, sandbox=first)
    cache(place, interface="net1", sandbox=second)
    assert (holders(place)[ID].netns, holders(place)[ID].netns_alive) == (netns, alive)
