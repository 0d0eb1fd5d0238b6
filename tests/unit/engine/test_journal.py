# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run writes down before it changes anything, and what becomes of it."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys

import pytest
from ansible_collections.kubenode.network.plugins import module_utils
from ansible_collections.kubenode.network.plugins.module_utils import _converge, _guard, _journal, _transaction, _undo
from ansible_collections.kubenode.network.plugins.module_utils._converge import Part, Want
from ansible_collections.kubenode.network.plugins.module_utils._document import Document, DocumentFile
from ansible_collections.kubenode.network.plugins.module_utils._errors import InUse, NodeError, Stays
from ansible_collections.kubenode.network.plugins.module_utils._host import boot, code, files
from ansible_collections.kubenode.network.plugins.module_utils._resource import Resource
from ansible_collections.kubenode.network.plugins.module_utils._resources import (
    bridge,
    cni_entry,
    cni_file,
    cni_form,
    dedup,
    dropin,
    file,
    hairpin,
    iptables_chain,
    kubenet_rules,
    masquerade_table,
    package,
    route_set,
    sysctl,
    taken_over,
    udev,
    unit,
)
from ansible_collections.kubenode.network.plugins.module_utils._sections import cni_plugins

RIGHTS = {"mode": "0644", "owner": 0, "group": 0}
SAMPLES = [
    bridge.Bridge("cbr0"),
    bridge.PinnedBridge("cbr0", kept=True),
    cni_entry.CniEntry("/etc/cni/net.d/10-a#b.conflist", "portmap"),
    cni_file.CniFile("/etc/cni/net.d/10-a.conf"),
    cni_form.CniForm("/etc/cni/net.d/10-a.conf", "{}"),
    cni_plugins.PluginFile("/opt/cni/bin/bridge", dict),
    cni_plugins.PluginFolder("/opt/cni/bin", dict),
    dedup.DedupRules("cbr0"),
    dedup.DedupEbtables("cbr0"),
    dropin.DropIn("/etc/systemd/system/a.service", files.Bytes(b"text")),
    DocumentFile("/etc/kubenode-network/node.json"),
    file.File("/a", files.Bytes(b"text"), binary=True),
    file.Folder("/a", stays=True),
    hairpin.HairpinPort("cbr0", "veth0", gone=True, before=False),
    iptables_chain.OwnChain(iptables_chain.FORWARD, "nft", "ipv4", ["10.244.1.0/24"]),
    iptables_chain.BaseChain(iptables_chain.MASQUERADE, "ipv6"),
    kubenet_rules.KubenetRules("legacy", "ipv4"),
    masquerade_table.MasqueradeTable("ipv6"),
    package.Package("containernetworking-plugins", "apt"),
    route_set.RouteSet("a link to 192.0.2.12"),
    sysctl.Sysctl("net/ipv4/ip_forward"),
    sysctl.BridgeNf("cbr0", ruled=True, made=True),
    sysctl.BrNetfilter(),
    taken_over.TakenOver("/a", "text", {**RIGHTS, "sha256": "0" * 64}),
    udev.Rules("/etc/udev/rules.d/a.rules"),
    unit.Running("a.service"),
]


def all_kinds(kind=Resource):
    for below in kind.__subclasses__():
        yield below
        yield from all_kinds(below)


def test_there_is_a_sample_of_every_kind():
    for module in pkgutil.walk_packages(module_utils.__path__, f"{module_utils.__name__}."):
        importlib.import_module(module.name)
    ours = {kind for kind in all_kinds() if kind.__module__.startswith(module_utils.__name__)}
    others = {"_File", "HandedOver"}  # a lease in a report, and what never changes anything
    assert {kind.__name__ for kind in ours} - others == {type(sample).__name__ for sample in SAMPLES}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_the_same_thing_is_made_again_from_the_journal(sample):
    entry = json.loads(json.dumps(_journal.Step(sample, {"state": None, "beside": None}).as_dict()))
    again = _undo._step(entry)
    assert (type(again.resource), again.resource.id, again.token) == (type(sample), sample.id, {"state": None, "beside": None})
    if isinstance(sample, iptables_chain.OwnChain):
        assert again.resource.pods == sample.pods


# A node that is nothing but files


def found_file(disk, name="f"):
    path = disk.root / name
    path.write_bytes(name.encode())
    path.chmod(0o644)
    return path


def part(*wants):
    return Part("files", "one", {}, list(wants), file.revive)


def begun(disk, *wants, fail=None):
    """What there is behind a run that ended, at its start or in the middle, without a chance to do anything about it."""

    class Died(BaseException):
        pass

    def die(*args):
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_converge, "_roll_back", die)
        patch.setattr(_transaction.Transaction, "failed", lambda self, error: None)
        with pytest.raises(Died):
            disk.converge(part(*wants, Want(Dying(die), 1)))


class Dying(Resource):
    id = "dying"

    def __init__(self, die):
        self.die = die

    def read(self):
        return None

    def write(self, state):
        self.die()

    def arguments(self):
        return []

    @classmethod
    def again(cls, *arguments):
        return cls(None)


@pytest.fixture
def importable(monkeypatch):
    """The journal names a class of this file, which the copied code does not have: without it it can be undone."""

    def as_dict(self):
        return {**whole(self), "class": "_resources.sysctl:BrNetfilter", "arguments": []} if isinstance(self.resource, Dying) else whole(self)

    whole = _journal.Step.as_dict
    monkeypatch.setattr(_journal.Step, "as_dict", as_dict)


def test_a_run_that_died_is_undone_and_named(disk, store, importable):
    replaced, made = found_file(disk), disk.root / "made"
    begun(disk, disk.want(replaced, b"ours"), disk.want(made, b"made"))
    assert (replaced.read_bytes(), made.read_bytes()) == (b"ours", b"made")
    assert os.stat(_journal.path()).st_mode & 0o777 == 0o600 and os.stat(store.parent).st_mode & 0o777 == 0o700
    recovered = _transaction.recover()
    assert len(recovered.warnings) == 1 and "the run of a test that began at" in recovered.warnings[0]
    assert replaced.read_bytes() == b"f" and not made.exists() and not store.parent.exists()
    assert _transaction.recover() == _transaction.Recovered([])


def test_a_person_can_undo_it_by_hand(disk, store, importable):
    path = found_file(disk)
    begun(disk, disk.want(path, b"ours"))
    done = subprocess.run([sys.executable, _journal.launcher(), "undo"], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["stuck"] == {} and done.returncode == 0
    assert path.read_bytes() == b"f" and not store.parent.exists()


def test_the_launcher_knows_where_the_run_found_its_libraries(tmp_path, monkeypatch):
    """In folders and archives, but for the archive of the run itself: its place may be anybody's when it is gone."""
    own, egg = tmp_path / "AnsiballZ.zip", tmp_path / "library.egg"
    own.touch()
    egg.touch()
    monkeypatch.setattr(sys, "path", [str(own), str(egg), str(tmp_path), str(tmp_path / "missing")])
    monkeypatch.setattr(code, "archive", lambda: str(own))
    assert _journal._libraries() == [str(egg), str(tmp_path)]


def test_a_run_that_died_behind_its_commit_is_finished(disk, store):
    path = found_file(disk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_transaction.Transaction, "done", lambda self: [])
        disk.converge(part(disk.want(path, b"ours")))
    assert _transaction.pending().endswith("a run that may change the node will first finish it, which is not in this plan")
    recovered = _transaction.recover()
    assert recovered.warnings[0].endswith("had done its work when it was interrupted; it is finished now")
    assert path.read_bytes() == b"ours" and os.listdir(store.parent) == ["found"]
    disk.converge(Part("files", "one", None, [], file.revive))
    assert path.read_bytes() == b"f" and not store.parent.exists()


def test_behind_a_boot_only_what_outlives_one_is_put_back(disk, store, importable, monkeypatch):
    """What the kernel forgot is not to be made again as it was: this class would fail here."""
    path = found_file(disk)
    begun(disk, disk.want(path, b"ours"))
    journal = _journal.load()
    journal.data["boot"] = "an earlier one"
    journal.data["steps"].append({**journal.data["steps"][0], "class": "no.such:Class", "survives_boot": False})
    journal.save()
    assert _undo.undo(journal) == _undo.Undone()
    assert path.read_bytes() == b"f" and not store.parent.exists()


def test_a_boot_is_known_by_what_the_kernel_says():
    assert boot.identity() == boot.identity() and len(boot.identity().split()) == 3
    assert boot.seconds() <= boot.seconds()


def test_what_cannot_be_undone_stops_the_next_run_with_its_reason(disk, store):
    path = found_file(disk)
    begun(disk, disk.want(path, b"ours"))  # Dying is not known to the copied code
    with pytest.raises(NodeError) as caught:
        _transaction.recover()
    assert "was interrupted, and cannot be undone" in str(caught.value) and "moved away to go on with the node as it is" in str(caught.value)
    assert os.path.exists(_journal.path())


@pytest.mark.parametrize("change", [lambda text: text[:-20], lambda text: text.replace('"a test"', '"a tess"'), lambda text: "[]", lambda text: "{}"])
def test_a_damaged_journal_is_refused(disk, store, change):
    begun(disk, disk.want(found_file(disk), b"ours"))
    text = files.read_text(_journal.path())
    with open(_journal.path(), "w") as journal:
        journal.write(change(text))
    with pytest.raises(NodeError, match="is damaged, or of another release"):
        _transaction.recover()


def test_a_journal_that_cannot_be_kept_stops_the_run_before_it_begins(disk, store, monkeypatch):
    path, write = found_file(disk), files.write

    def full(target, content, **rights):
        if target == _journal.path():
            raise NodeError(f"{target} cannot be written: No space left on device")
        write(target, content, **rights)

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(NodeError, match="nothing was changed: the journal of this run cannot be kept: .* No space left on device"):
        disk.converge(part(disk.want(path, b"ours")))
    assert path.read_bytes() == b"f" and not store.parent.exists() and not disk.document.exists()


def test_what_a_run_leaves_that_dies_before_its_journal_is_there_is_swept(disk, store):
    files.make_folder(_journal.folder(), 0o700)
    with open(_journal.archive(), "w") as archive:
        archive.write("half of it")
    assert _transaction.recover() == _transaction.Recovered([])
    assert not store.parent.exists()


# What pods use


class Busy(file.File):
    """A file that cannot be given back while pods use it."""

    pods = True

    def restore(self, token):
        if self.pods and token["state"] is None:
            raise InUse("pods use it")
        super().restore(token)


def fail(world):
    raise NodeError("told to fail")


class Failing(Dying):
    def write(self, state):
        raise NodeError("told to fail")


def test_what_pods_use_is_kept_and_still_known_as_made_by_us(disk, store, monkeypatch):
    path = disk.root / "busy"
    busy = Busy(str(path), files.Bytes(b"ours"))
    want = Want(busy, disk.want(path, b"ours").state)
    with pytest.raises(_converge.ApplyError, match=f"everything else was put back, but for file:{path} .pods use it.$"):
        disk.converge(part(want, Want(Failing(None), 1)))
    assert path.read_bytes() == b"ours"
    journal = _journal.load()
    assert journal.is_over and not journal.is_committed() and _transaction.pending() is None
    made = frozenset({busy.id})
    document = Document.load(str(disk.document), made=made)
    assert document.record(busy.id)["origin"] == "created"
    monkeypatch.setattr(disk, "new_run", lambda: _transaction_run(document))
    disk.converge(part(want))
    assert Document.load(str(disk.document)).record(busy.id)["found"] is None
    assert not os.path.exists(_journal.path())


def _transaction_run(document):
    from ansible_collections.kubenode.network.plugins.module_utils._sections.base import Run

    return Run(document)


def test_a_module_that_stays_loaded_is_named_and_leaves_no_journal(disk, store):
    class Loaded(Dying):
        id = "module:x"

        def write(self, state):
            raise NodeError("no")

        def restore(self, token):
            raise Stays("it stays loaded")

    with pytest.raises(_converge.ApplyError, match=r"everything else was put back, but for module:x \(it stays loaded\)"):
        disk.converge(part(Want(Loaded(None), 1)))
    assert not store.parent.exists()


def test_the_guard_goes_on_where_the_journal_cannot_be_read_for_a_moment(tmp_path, monkeypatch):
    answers = [NodeError("journal.json cannot be read: Input/output error"), NodeError("Too many open files"), None]

    def load():
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    monkeypatch.setattr(_journal, "load", load)
    monkeypatch.setattr(_guard, "LOCK", str(tmp_path / "guard"))
    monkeypatch.setattr(_guard, "INTERVAL", 0)
    assert _guard.watch("run", str(tmp_path / "lock"), lambda journal: True) == 0
    assert answers == []
