# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which leases are released and which are kept, by files that are made up and a runtime that says what it is told."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _leases
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import cri, leases
from testbed.fake_runtime import FakeRuntime

# A range for tests of networks (RFC 2544): what a pod on this machine has counts as in use.
A, B, C = "aaaa" * 16, "bbbb" * 16, "cccc" * 16
OLD = 1000.0  # seconds


class Place:
    """/var/lib/cni and /run of a node below one folder, with a runtime that lists `sandboxes`."""

    def __init__(self, root):
        self.root = root
        self.data_dir, self.conf_dir, self.socket = root / "networks", root / "net.d", str(root / "s")
        self.folder = self.data_dir / "mynet"
        self.sandboxes = set()
        self.asked = lambda: None  # called for every list that the runtime gives
        for folder in (self.folder, self.conf_dir, root / "results"):
            folder.mkdir(parents=True)
        (self.folder / "lock").touch()

    def list(self):
        self.asked()
        return sorted(self.sandboxes)

    def lease(self, address, content, age=OLD):
        path = self.folder / address
        path.write_text(f"{content}\r\neth0" if content else "")
        os.utime(path, (time.time() - age,) * 2)

    def result(self, container_id, netns):
        content = {"kind": "cniCacheV1", "networkName": "mynet", "containerId": container_id, "ifName": "eth0", "netns": netns}
        (self.root / "results" / f"mynet-{container_id}-eth0").write_text(json.dumps(content))

    def run(self, check_mode=False, **options):
        """Release with these options in place of the defaults; grace is no time at all unless it is told."""
        defaults = {name: option.get("default") for name, option in _leases.OPTIONS.items()}
        given = {"network": "mynet", "grace": 0, "data_dir": str(self.data_dir), "conf_dir": str(self.conf_dir), **options}
        if "sandboxes" not in options and "runtime_endpoint" not in options:
            given["runtime_endpoint"] = f"unix://{self.socket}"
        return _leases.release({**defaults, **given}, check_mode=check_mode, diff=True)

    @property
    def seen(self):
        """What the runs so far remember, as text."""
        return Path(_leases.SEEN).read_text()

    @seen.setter
    def seen(self, text):
        Path(_leases.SEEN).write_text(text)

    def left(self):
        return sorted(name for name in os.listdir(self.folder) if name != "lock")


@pytest.fixture
def place(tmp_path, monkeypatch):
    made = Place(tmp_path)
    monkeypatch.setattr(_leases, "SEEN", str(tmp_path / "seen" / "leases.json"))
    monkeypatch.setattr(leases, "CACHE_DIRS", (str(tmp_path / "results"),))
    monkeypatch.setattr(cri, "SOCKETS", (made.socket,))
    monkeypatch.setattr(cri, "CRICTL", str(tmp_path / "crictl.yaml"))
    with FakeRuntime(made.socket, made.list):
        yield made


def addresses(entries):
    return [entry["address"] for entry in entries]


def test_an_orphan_is_released_and_reported(place):
    place.lease("198.18.1.5", A)
    result = place.run()
    shown = {"address": "198.18.1.5", "container_id": A, "interface": "eth0"}
    path = f"lease:{place.folder}/198.18.1.5"
    assert result == {
        "changed": True, "released": [shown], "kept": [], "waiting": [], "warnings": [],
        "changes": [{"resource": path, "before": {"container_id": A, "interface": "eth0"}, "after": None}],
        "diff": [{"before_header": path, "after_header": f"{path} (absent)", "before": f"container_id: {A}\ninterface: eth0\n", "after": ""}],
    }  # fmt: skip
    assert place.left() == []
    assert place.run()["changed"] is False


def test_everything_else_stays(place):
    (place.folder / "last_reserved_ip.0").write_text("198.18.1.9")
    (place.folder / "lock").write_text("x")
    place.sandboxes = {A}
    place.lease("198.18.1.5", A)
    place.lease("198.18.1.6", B)
    place.lease("198.18.1.7", "")
    result = place.run()
    assert (addresses(result["released"]), place.left()) == (["198.18.1.6"], ["198.18.1.5", "198.18.1.7", "last_reserved_ip.0"])
    assert (place.folder / "lock").read_text() == "x"
    assert [entry["reason"] for entry in result["kept"]] == ["its sandbox exists", f"{place.folder}/198.18.1.7 does not say whose it is"]


@pytest.mark.parametrize(
    ("netns", "reason"),
    [
        ("/proc/self/ns/net", "its network namespace /proc/self/ns/net is alive"),
        ("/etc/hostname", "whether its network namespace /etc/hostname is alive cannot be seen"),
        ("/run/netns/gone", None),
    ],
)
def test_a_living_namespace_keeps_its_address(place, netns, reason):
    place.lease("198.18.1.5", A)
    place.result(A, netns)
    assert [entry["reason"] for entry in place.run()["kept"]] == ([reason] if reason else [])
    assert [entry["reason"] for entry in place.run(sandboxes=[])["kept"]] == ([reason] if reason else [])
    assert place.left() == (["198.18.1.5"] if reason else [])


# Two lists


def test_what_is_seen_once_waits_and_is_released_by_a_later_run(place):
    place.lease("198.18.1.5", A, age=OLD)  # its age alone is no proof
    first = place.run(grace=1)
    assert (addresses(first["waiting"]), first["changed"], place.left()) == (["198.18.1.5"], False, ["198.18.1.5"])
    assert first["waiting"][0]["seconds"] == 1
    assert abs(time.time() - time.mktime(time.strptime(first["waiting"][0]["since"] + " UTC", "%Y-%m-%dT%H:%M:%SZ %Z")) + time.timezone) < 5
    time.sleep(1)
    assert addresses(place.run(grace=1)["released"]) == ["198.18.1.5"]


def test_it_can_be_waited_for(place):
    place.lease("198.18.1.5", A, age=0)
    begin = time.monotonic()
    assert addresses(place.run(grace=1, wait=True)["released"]) == ["198.18.1.5"]
    assert time.monotonic() - begin >= 1
    assert place.run(grace=300, wait=True)["released"] == []  # with nothing to wait for


def test_a_sandbox_that_the_second_list_has_keeps_its_address(place):
    place.lease("198.18.1.5", A)
    place.run(grace=300)
    place.sandboxes = {A}  # it was just starting
    result = place.run(grace=0)
    assert (result["released"], addresses(result["kept"])) == ([], ["198.18.1.5"])
    place.sandboxes = set()
    assert addresses(place.run(grace=300)["waiting"]) == ["198.18.1.5"]  # it begins anew


def test_the_last_look_is_under_the_lock_and_counts(place):
    place.lease("198.18.1.5", A)
    place.lease("198.18.1.6", B)
    turns, locked = [], []

    def asked():
        turns.append(None)
        with open(place.folder / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked.append(False)
            except BlockingIOError:
                locked.append(True)
        place.sandboxes = {A} if len(turns) == 2 else set()

    place.asked = asked
    result = place.run()
    assert locked == [False, True]
    assert (addresses(result["released"]), addresses(result["kept"])) == (["198.18.1.6"], ["198.18.1.5"])


@pytest.mark.parametrize("change", ["given to another", "given to the same again", "gone", "namespace"])
def test_a_lease_that_changes_in_between_is_not_released(place, change):
    place.lease("198.18.1.5", A)
    turns = []

    def asked():
        turns.append(None)
        if len(turns) == 2 or change == "namespace":
            return
        if change == "gone":
            os.unlink(place.folder / "198.18.1.5")
        else:
            place.lease("198.18.1.5", A if "same" in change else C, age=5)

    place.asked = asked
    if change == "namespace":
        lock = os.open(place.folder / "lock", os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        timer = threading.Timer(0.3, lambda: (place.result(A, "/proc/self/ns/net"), os.close(lock)))
        timer.start()
    assert place.run()["released"] == []
    assert place.left() == ([] if change == "gone" else ["198.18.1.5"])


def test_a_new_lease_of_an_old_address_begins_anew(place):
    place.lease("198.18.1.5", A)
    place.run(grace=300)
    seen = json.loads(place.seen)
    seen["seen"][str(place.folder)]["198.18.1.5"][3] -= 300
    place.seen = json.dumps(seen)
    assert place.run(check_mode=True, grace=300)["changed"]
    place.lease("198.18.1.5", B)
    assert addresses(place.run(grace=300)["waiting"]) == ["198.18.1.5"]
    assert addresses(place.run(grace=300)["waiting"]) == ["198.18.1.5"]


def entry(container_id=A, interface="eth0", modified=5.0, begin=0.0):
    return {"198.18.1.5": [container_id, interface, modified, begin]}


@pytest.mark.parametrize(
    "damage",
    [
        "{", "", "[]", {"boot": "another"}, {"seen": 5}, {"seen": {"FOLDER": 5}}, {"seen": {"FOLDER": {"198.18.1.5": [1]}}},
        {"seen": {"FOLDER": entry(begin=-1.0)}}, {"seen": {"FOLDER": entry(begin=1e12)}}, {"seen": {"FOLDER": entry(begin="x")}},
        {"seen": {"FOLDER": entry(container_id=B)}}, {"seen": {"FOLDER": entry(interface="net1")}}, {"seen": {"FOLDER": entry(modified=6.0)}},
    ],
)  # fmt: skip
def test_a_damaged_memory_only_makes_the_wait_longer(place, damage):
    place.lease("198.18.1.5", A)
    os.utime(place.folder / "198.18.1.5", (5.0, 5.0))
    place.run(grace=300)
    whole = {**json.loads(place.seen), "seen": {str(place.folder): entry()}}
    place.seen = json.dumps(whole)
    assert place.run(check_mode=True, grace=1)["changed"]  # the node has been running for longer
    place.seen = damage if isinstance(damage, str) else json.dumps({**whole, **damage}).replace("FOLDER", str(place.folder))
    result = place.run(grace=300)
    assert (result["released"], result["waiting"][0]["seconds"]) == ([], 300)


def test_networks_do_not_forget_each_other_s_orphans(place):
    place.lease("198.18.1.5", A)
    place.run(grace=1)
    (place.data_dir / "other").mkdir()
    place.run(network="other", grace=1)
    place.run(grace=300, addresses=["198.18.1.9"])
    time.sleep(1)
    assert addresses(place.run(grace=1)["released"]) == ["198.18.1.5"]


# A list that is given


def test_a_given_list_takes_the_place_of_both(place):
    place.lease("198.18.1.5", A, age=301)
    place.lease("198.18.1.6", B, age=301)
    place.lease("198.18.1.7", C, age=299)
    result = place.run(grace=300, sandboxes=[B[:12]])  # cut off, as docker ps prints it
    assert addresses(result["released"]) == ["198.18.1.5"]
    assert [(entry["address"], entry["reason"]) for entry in result["kept"]] == [
        ("198.18.1.6", "its sandbox exists"), ("198.18.1.7", "it is younger than 300 s"),
    ]  # fmt: skip
    assert not os.path.exists(_leases.SEEN)


def test_a_lease_of_the_future_is_young(place):
    place.lease("198.18.1.5", A, age=-3600)
    assert addresses(place.run(grace=300, sandboxes=[])["kept"]) == ["198.18.1.5"]


# The rest of the options


def test_only_some_addresses(place):
    for address, name in (("198.18.1.5", A), ("198.18.1.6", B), ("fd00::5", C)):
        place.lease(address, name)
    place.sandboxes = {B}
    result = place.run(addresses=["fd00:0::0005", "198.18.1.6", "10.9.9.9"])
    assert (addresses(result["released"]), addresses(result["kept"]), result["waiting"]) == (["fd00::5"], ["198.18.1.6"], [])
    assert place.left() == ["198.18.1.5", "198.18.1.6"]


@pytest.mark.parametrize(("options", "released"), [({}, True), ({"grace": 300, "wait": True}, True), ({"grace": 300}, False), ({"sandboxes": []}, True)])
def test_check_mode_says_it_and_touches_nothing(place, options, released):
    place.lease("198.18.1.5", A)
    result = place.run(check_mode=True, **options)
    assert (result["changed"], addresses(result["released"])) == (released, ["198.18.1.5"] if released else [])
    assert place.left() == ["198.18.1.5"] and not os.path.exists(_leases.SEEN)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("10-mynet.conflist", {"name": "mynet", "plugins": [{"type": "bridge", "ipam": {"type": "host-local", "dataDir": "DIR"}}]}),
        ("10-mynet.conf", {"name": "mynet", "type": "bridge", "ipam": {"type": "host-local", "dataDir": "DIR"}}),
    ],
)
def test_the_data_directory_is_that_of_the_network_s_file(place, name, text):
    (place.conf_dir / "00-broken.conf").write_text("{")
    (place.conf_dir / name).write_text(json.dumps(text).replace("DIR", f"{place.data_dir}/"))
    place.lease("198.18.1.5", A)
    assert place.run(data_dir=None)["changes"][0]["resource"] == f"lease:{place.folder}/198.18.1.5"


def test_a_relative_data_directory_has_to_be_told(place):
    config = {"name": "mynet", "type": "bridge", "ipam": {"type": "host-local", "dataDir": "networks"}}
    (place.conf_dir / "10-mynet.conf").write_text(json.dumps(config))
    with pytest.raises(InputError, match="data_dir: 'networks' in the file of 'mynet' is not usable, a relative path counts from wherever"):
        place.run(data_dir=None)


def test_a_network_that_nobody_knows_is_refused(place):
    with pytest.raises(InputError, match=r"network: 'mynt' is in no file of .* and has no leases in .* \(expected one of mynet\)"):
        place.run(network="mynt")
    assert "'mynt' is in no file" in place.run(check_mode=True, network="mynt")["warnings"][0]
    (place.conf_dir / "10-mynt.conflist").write_text('{"name": "mynt", "plugins": [{"type": "bridge"}]}')
    assert place.run(network="mynt")["changed"] is False  # it had no pod yet


def test_all_problems_are_told_together(place):
    with pytest.raises(InputError) as error:
        place.run(network="a b", grace=-1, addresses=["x"], sandboxes=["a", ""], wait=True, data_dir="x", conf_dir="/a/../b", runtime_endpoint="tcp://x")
    assert [problem.path for problem in error.value.problems] == [
        "network", "grace", "addresses[0]", "sandboxes[1]", "data_dir", "conf_dir", "runtime_endpoint", "runtime_endpoint", "wait",
    ]  # fmt: skip


# The runtime


@pytest.fixture
def orphaned(place):
    place.lease("198.18.1.5", A)
    yield place
    assert place.left() == ["198.18.1.5"]


def test_no_runtime_is_an_error_that_says_where_it_was_looked_for(orphaned, monkeypatch):
    monkeypatch.setattr(cri, "SOCKETS", ("/run/nowhere/a.sock", "/run/nowhere/b.sock"))
    with pytest.raises(NodeError, match=r"there is no socket at /run/nowhere/a.sock, /run/nowhere/b.sock \(expected one of them, or .* sandboxes\)$"):
        orphaned.run(runtime_endpoint=None)


@pytest.mark.parametrize("at", ["first", "second"])
def test_a_runtime_that_does_not_answer_is_not_one_without_sandboxes(orphaned, monkeypatch, at):
    monkeypatch.setattr(_leases, "_LONGEST_ANSWER", 0.2)
    turns = []
    orphaned.asked = lambda: turns.append(None) or (time.sleep(1) if at == "first" or len(turns) == 2 else None)
    with pytest.raises(NodeError, match=r"which sandboxes exist cannot be told: "):
        orphaned.run()


def test_every_runtime_has_to_answer(orphaned, monkeypatch):
    stale = str(orphaned.root / "stale")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(stale)
    monkeypatch.setattr(cri, "SOCKETS", (orphaned.socket, stale))
    with pytest.raises(NodeError, match=f"{stale} cannot be asked: Connection refused"):
        orphaned.run(runtime_endpoint=None)
    assert orphaned.run(check_mode=True)["changed"]  # when it is the only one


def test_the_lists_of_all_runtimes_count(orphaned, monkeypatch):
    other = str(orphaned.root / "t")
    monkeypatch.setattr(cri, "SOCKETS", (orphaned.socket, other))
    with FakeRuntime(other, lambda: [A]):
        assert orphaned.run(runtime_endpoint=None)["released"] == []


def test_docker_s_containerd_beside_cri_dockerd_has_no_sandboxes(orphaned, monkeypatch):
    other = str(orphaned.root / "t")
    monkeypatch.setattr(cri, "SOCKETS", (other, orphaned.socket))
    with FakeRuntime(other, list, package="other"):
        assert orphaned.run(check_mode=True, runtime_endpoint=None)["changed"]
        with pytest.raises(NodeError, match="no runtime here speaks CRI: .* gRPC status 12"):
            orphaned.run(runtime_endpoint=other)


def test_a_plugin_that_hangs_with_its_lock_is_not_waited_for_without_end(orphaned, monkeypatch):
    held = leases.plugin_lock
    monkeypatch.setattr(leases, "plugin_lock", lambda folder: held(folder, 0.2))
    with open(orphaned.folder / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(NodeError, match=r"a plugin has held .*/lock for 0.2 s"):
            orphaned.run()


def test_a_lock_that_is_a_pipe_is_not_waited_for(place):
    place.lease("198.18.1.5", A)
    (place.folder / "lock").unlink()
    os.mkfifo(place.folder / "lock")
    assert addresses(place.run()["released"]) == ["198.18.1.5"]
