# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import copy
import json
import os
import stat

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _document
from ansible_collections.kubenode.network.plugins.module_utils._converge import Part
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError
from ansible_collections.kubenode.network.plugins.module_utils._resources.file import revive
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

CREATED = {"origin": "created", "found": None, "hash": "a" * 64}
SHARED = {"origin": "adopted", "found": {"sha256": "b" * 64, "mode": "0644", "owner": 0, "group": 0}, "hash": "c" * 64}
SECTIONS = {
    "networks": {
        "one": {"desired": {"mtu": 1}, "objects": {"file:/a": CREATED, "file:/shared": SHARED}},
        "two": {"desired": {}, "objects": {"file:/shared": SHARED, "folder:/f": {"origin": "adopted", "found": {"mode": "0700"}, "hash": None}}},
    },
    "bridge": {"cbr0": {"desired": {}, "objects": {"bridge:cbr0": CREATED}}},
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "etc" / "kubenode-network" / "node.json"


def sealed(data):
    return json.dumps({**data, "sha256": _document._seal(data)})


def place(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def document():
    return Document(copy.deepcopy(SECTIONS), "/nowhere/node.json")


# Loading


def test_where_the_document_lives():
    assert _document.PATH == "/etc/kubenode-network/node.json"
    assert Document({}).path == _document.PATH


def test_without_a_file_the_document_is_empty(path):
    loaded = Document.load(str(path))
    assert (loaded.sections, loaded.path, loaded.state()) == ({}, str(path), None)
    assert not path.parent.exists()


def test_what_was_written_is_loaded_again(path):
    written = Document(copy.deepcopy(SECTIONS), str(path))
    written.resource().write(written.state())
    loaded = Document.load(str(path))
    assert loaded.sections == SECTIONS
    assert loaded.state() == {"schema": 1, "sections": SECTIONS} == loaded.resource().read()


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1, "sections": {}', "nonsense", b'{"schema": 1, "sections": {"\xff": {}}}'])
def test_a_corrupt_document_is_refused_with_a_way_out(path, text):
    with pytest.raises(NodeError) as caught:
        Document.load(place(path, text))
    message = str(caught.value)
    assert message.startswith(f"{path} cannot be read: ") and "\n" not in message
    assert message.endswith("; move it away to start afresh (nothing it names will be removed)")


@pytest.mark.parametrize(
    "text",
    ["[]", "7", '"text"', "{}", '{"schema": 1}', '{"sections": {}}', '{"schema": "1", "sections": {}}', '{"schema": 1, "sections": []}'],
)
def test_another_kind_of_file_is_refused(path, text):
    with pytest.raises(NodeError) as caught:
        Document.load(place(path, text))
    assert str(caught.value) == f"{path} is not a document of this collection: it has no schema number and sections"


@pytest.mark.parametrize("text", ["null", '{"schema": true, "sections": {}}'])
def test_what_only_looks_like_a_document_is_refused(path, text):
    with pytest.raises(NodeError) as caught:
        Document.load(place(path, text))
    assert str(caught.value) == f"{path} is not a document of this collection: it has no schema number and sections"


DAMAGED = (
    "is damaged: a part of it is not as this collection wrote it; put it back as it was, or move it away to start afresh "
    "(nothing it names will be removed)"
)
RECORD = {"origin": "created", "found": None, "hash": "a" * 64}


@pytest.mark.parametrize(
    "sections",
    [
        {"x": []},
        {"x": {"y": []}},
        {"x": {"y": {}}},
        {"x": {"y": {"desired": {}}}},
        {"x": {"y": {"objects": {}}}},
        {"x": {"y": {"desired": None, "objects": {}}}},
        {"x": {"y": {"desired": {}, "objects": []}}},
        {"x": {"y": {"asked": [], "desired": {}, "objects": {}}}},
        {"x": {"y": {"desired": {}, "objects": {"file:/a": {}}}}},
        {"x": {"y": {"desired": {}, "objects": {"file:/a": []}}}},
        {"x": {"y": {"desired": {}, "objects": {"file:/a": {**RECORD, "hash": 7}}}}},
        {"x": {"y": {"desired": {}, "objects": {"file:/a": {**RECORD, "hash": "A" * 64}}}}},
        {"x": {"y": {"desired": {}, "objects": {"file:/a": {**RECORD, "hash": "a" * 64 + "\n"}}}}},
    ],
)
def test_a_damaged_document_is_refused_with_a_way_out(path, sections):
    with pytest.raises(NodeError) as caught:
        Document.load(place(path, sealed({"schema": 1, "sections": sections})))
    assert str(caught.value) == f"{path} {DAMAGED}"


OTHERS = (None, True, 0, 7, -1.5, "", "text", [], ["x"], {}, {"x": None})


def changed(value):
    """Every document that differs from this one in one place: a key or an item that is gone, twice, or of another name or value."""
    if isinstance(value, dict):
        for key, item in value.items():
            rest = {name: other for name, other in value.items() if name != key}
            yield from (rest, {**value, f"{key}x": item}, {**rest, "": item})
            yield from ({**value, key: other} for other in changed(item))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from (value[:index] + value[index + 1 :], [*value, item])
            yield from (value[:index] + [other] + value[index + 1 :] for other in changed(item))
    yield from (other for other in OTHERS if json.dumps(other) != json.dumps(value))


def test_damage_in_any_one_place_is_found(path):
    """Whatever a run would make of it: options that a part no longer has, a found state of another form."""
    whole = json.loads(sealed({"schema": 1, "sections": {"networks": SECTIONS["networks"]}}))
    texts = {json.dumps(data) for data in changed(whole)}
    assert len(texts) > 500
    for text in texts:
        with pytest.raises((NodeError, InputError)) as caught:
            Document.load(place(path, text))
        assert str(caught.value).startswith(f"{path}") and "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_found(path, data):
    text = sealed({"schema": 1, "sections": SECTIONS}).encode()
    at = data.draw(st.integers(0, len(text) - 1))
    broken = data.draw(st.sampled_from([text[:at], text[:at] + data.draw(st.binary(min_size=1, max_size=3)) + text[at + 1 :]]))
    with contextlib.suppress(ValueError):
        assume(json.loads(broken) != json.loads(text))
    with pytest.raises((NodeError, InputError), match=f"^{path}"):
        Document.load(place(path, broken))


@pytest.mark.parametrize("sealed_with", [None, "0" * 64])
def test_what_is_nested_very_deeply_is_damaged(path, sealed_with):
    for depth in range(100, 1200, 50):
        deep = "[" * depth + "]" * depth
        text = f'{{"schema": 1, "sha256": {json.dumps(sealed_with)}, "sections": {{"x": {{"y": {{"desired": {{"z": {deep}}}, "objects": {{}}}}}}}}}}'
        with pytest.raises(NodeError, match=f"^{path} (is damaged|cannot be read)"):
            Document.load(place(path, text))


def test_a_document_may_be_written_in_another_layout(path):
    data = json.loads(sealed({"schema": 1, "sections": SECTIONS}))
    assert Document.load(place(path, json.dumps(data, indent=7, sort_keys=True))).sections == SECTIONS


def test_a_hash_that_somebody_tampered_with_reaches_no_file_outside_of_the_store(disk):
    path, victim = disk.root / "f", disk.root / "victim"
    victim.write_text("precious")
    disk.converge(Part("files", "one", {}, [disk.want(path, b"1")], revive))
    data = json.loads(disk.document.read_text())
    data["sections"]["files"]["one"]["objects"][f"file:{path}"]["hash"] = str(victim)
    disk.document.write_text(sealed({"schema": data["schema"], "sections": data["sections"]}))
    with pytest.raises(NodeError, match="is damaged"):
        disk.converge(Part("files", "one", {"another": "option"}, [disk.want(path, b"2")], revive))
    assert victim.read_text() == "precious" and path.read_bytes() == b"1"


def test_a_document_that_is_a_folder_is_refused(path):
    path.mkdir(parents=True)
    with pytest.raises(NodeError, match="node.json is there but is not a file"):
        Document.load(str(path))


@pytest.mark.parametrize("schema", [2, 3, 1000])
def test_a_newer_document_is_refused_with_one_message(path, schema):
    text = json.dumps({"schema": schema, "sections": {"unheard": "of"}, "more": []})
    with pytest.raises(InputError) as caught:
        Document.load(place(path, text))
    assert str(caught.value) == f"{path}: has schema {schema}, written by a newer kubenode.network (this one knows up to 1); use that release"
    assert len(caught.value.problems) == 1 and path.read_text() == text


def test_a_document_of_this_schema_is_read(path):
    loaded = Document.load(place(path, sealed({"schema": 1, "sections": SECTIONS})))
    assert loaded.sections == SECTIONS and loaded.state()["schema"] == _document.SCHEMA == 1


@pytest.mark.parametrize("schema", [0, -1])
def test_a_schema_that_never_was_is_refused(path, schema):
    with pytest.raises(NodeError, match=f"is not a document of this collection: it has schema {schema}"):
        Document.load(place(path, json.dumps({"schema": schema, "sections": SECTIONS})))


# Questions


def test_questions_about_a_part():
    assert document().desired("networks", "one") == {"mtu": 1}
    assert document().desired("networks", "three") is None is document().desired("unknown", "one")
    assert document().instances("networks") == ["one", "two"] and document().instances("unknown") == []
    assert list(document().objects("networks", "one")) == ["file:/a", "file:/shared"]
    assert document().objects("networks", "three") == {} == document().objects("unknown", "one")


def test_holders_of_an_object():
    assert document().holders("file:/shared") == [("networks", "one"), ("networks", "two")]
    assert document().holders("bridge:cbr0") == [("bridge", "cbr0")]
    assert document().holders("file:/unknown") == []


def test_the_record_of_an_object_whoever_holds_it():
    assert document().record("file:/shared") == SHARED
    assert document().record("bridge:cbr0") == CREATED
    assert document().record("file:/unknown") is None


def test_the_records_of_a_kind():
    assert document().records("file:") == [CREATED, SHARED, SHARED]
    assert document().records("bridge:") == [CREATED] and document().records("sysctl:") == []


def test_found_contents_are_the_hashes_of_files_that_were_adopted():
    link = {"origin": "adopted", "found": {"symlink": "/elsewhere"}, "hash": "d" * 64}
    with_link = document().with_part("networks", "three", {}, {"file:/link": link})
    assert with_link.found_contents() == {"b" * 64}
    assert Document({}).found_contents() == set()


# Changing


def test_with_part_leaves_the_old_document_as_it_is():
    old = document()
    for desired, objects in (({"mtu": 2}, {"file:/b": CREATED}), (None, {})):
        for instance in ("one", "new"):
            new = old.with_part("networks", instance, desired, objects)
            assert new is not old and old.sections == SECTIONS
            assert new.path == old.path
            new.sections["bridge"].clear()  # whoever takes a part out of one takes it out of one alone
            assert old.sections == SECTIONS


def test_with_part_replaces_one_part():
    new = document().with_part("networks", "one", {"mtu": 2}, {"file:/b": CREATED})
    assert new.sections["networks"]["one"] == {"desired": {"mtu": 2}, "objects": {"file:/b": CREATED}}
    assert {**new.sections["networks"], "one": None} == {**SECTIONS["networks"], "one": None}
    assert new.sections["bridge"] == SECTIONS["bridge"]


def test_with_part_adds_a_part_and_its_section():
    new = document().with_part("masquerade", "node", {}, {})
    assert new.sections == {**SECTIONS, "masquerade": {"node": {"desired": {}, "objects": {}}}}


def test_without_options_a_part_goes_and_with_its_last_part_the_section():
    first = document().with_part("networks", "one", None, {"file:/a": CREATED})
    assert list(first.sections) == ["networks", "bridge"] and list(first.sections["networks"]) == ["two"]
    assert list(first.with_part("networks", "two", None, {}).sections) == ["bridge"]
    assert document().with_part("unknown", "x", None, {}).sections == SECTIONS
    assert document().with_part("networks", "x", None, {}).sections == SECTIONS


def test_an_empty_document_has_no_state():
    assert document().with_part("bridge", "cbr0", None, {}).state() is not None
    assert Document({"bridge": SECTIONS["bridge"]}).with_part("bridge", "cbr0", None, {}).state() is None


# The file


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_file_is_for_root_alone_whatever_the_umask(path, umask):
    before = os.umask(umask)
    try:
        Document({}, str(path)).resource().write({"schema": 1, "sections": {"secret": {}}})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_the_file_is_replaced_and_never_half_written(path, monkeypatch):
    resource = Document({}, str(path)).resource()
    resource.write({"schema": 1, "sections": {"old": {}}})
    inode, seen, rename = path.stat().st_ino, [], os.rename

    def watching(source, target):
        with open(source, encoding="utf-8") as file:
            seen.append((json.load(file), stat.S_IMODE(os.stat(source).st_mode), json.loads(path.read_text())))
        rename(source, target)

    monkeypatch.setattr(os, "rename", watching)
    resource.write({"schema": 1, "sections": {"new": {}}})
    new, old = (json.loads(sealed({"schema": 1, "sections": {name: {}}})) for name in ("new", "old"))
    assert seen == [(new, 0o600, old)]
    assert path.stat().st_ino != inode and os.listdir(path.parent) == ["node.json"]
    assert path.read_text().endswith("}\n")


def test_an_empty_document_is_no_file_and_no_folder(path):
    resource = Document({}, str(path)).resource()
    resource.write({"schema": 1, "sections": {"x": {}}})
    resource.write(None)
    assert resource.read() is None and not path.parent.exists() and path.parent.parent.exists()
    resource.write(None)  # and once more
    assert path.parent.parent.exists()


def test_what_others_put_beside_the_document_stays(path):
    resource = Document({}, str(path)).resource()
    resource.write({"schema": 1, "sections": {"x": {}}})
    (path.parent / "notes").write_text("theirs")
    resource.write(None)
    assert os.listdir(path.parent) == ["notes"]


def test_a_captured_document_is_restored(tmp_path):
    resource = Document({}, str(tmp_path / "node.json")).resource()
    resource.write(document().state())
    token = resource.capture()
    resource.write({"schema": 1, "sections": {}})
    resource.restore(token)
    assert resource.read() == document().state()
    assert resource.id == f"document:{tmp_path}/node.json"
    assert resource.libraries == ()


def test_a_report_shows_only_the_parts_that_differ():
    before, after = document().state(), document().with_part("networks", "two", None, {}).with_part("bridge", "cbr0", {"mtu": 2}, {}).state()
    assert Document({}).resource().focus(before, after) == (
        {"schema": 1, "sections": {"networks": {"two": SECTIONS["networks"]["two"]}, "bridge": SECTIONS["bridge"]}},
        {"schema": 1, "sections": {"bridge": {"cbr0": {"desired": {"mtu": 2}, "objects": {}}}}},
    )
    assert Document({}).resource().focus(None, after) == (None, after)


def test_the_document_described_for_a_person():
    text = Document({}).resource().describe(document().state())
    assert text.splitlines() == [
        "networks/one: mtu=1",
        f"  file:/a created {'a' * 12}",
        f"  file:/shared adopted {'c' * 12}",
        "networks/two: ",
        f"  file:/shared adopted {'c' * 12}",
        "  folder:/f adopted ",
        "bridge/cbr0: ",
        f"  bridge:cbr0 created {'a' * 12}",
    ]
    assert Document({}).resource().describe(None) == ""
