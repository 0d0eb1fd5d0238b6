# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import errno
import json
import os
import sys
import types

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _converge
from ansible_collections.kubenode.network.plugins.module_utils._converge import ApplyError, MissingLibrary, Part, Want, converge
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError
from ansible_collections.kubenode.network.plugins.module_utils._resource import Resource, outline
from ansible_collections.kubenode.network.plugins.module_utils._resources.bridge import Bridge
from ansible_collections.kubenode.network.plugins.module_utils._undo import Undone


class World:
    """A node in memory: the state of each thing by id, and what was done to it. ``faults`` maps (verb, id) to what is
    called instead of the plain deed."""

    def __init__(self, document, **states):
        self.document = document
        self.states = {f"thing:{name}": state for name, state in states.items()}
        self.log = []
        self.committed = []  # whether the document of this run was in place at each write
        self.faults = {}
        self.staying = set()

    def thing(self, name):
        return Thing(self, f"thing:{name}")

    def want(self, name, state):
        return Want(self.thing(name), state)

    def put(self, oid, state):
        if state is None:
            self.states.pop(oid, None)
        else:
            self.states[oid] = copy.deepcopy(state)

    def do(self, verb, oid, state):
        self.log.append((verb, oid, state))
        self.committed.append(self.document.exists() and self.document.read_text())
        self.faults.get((verb, oid), self.put)(oid, state)

    def document_data(self):
        return json.loads(self.document.read_text()) if self.document.exists() else None

    def objects(self, instance, section="section"):
        return self.document_data()["sections"][section][instance]["objects"]


class Thing(Resource):
    def __init__(self, world, oid):
        self.world = world
        self.id = oid

    def read(self):
        return copy.deepcopy(self.world.states.get(self.id))

    def write(self, state):
        self.world.do("write", self.id, state)

    def capture(self):
        self.world.faults.get(("capture", self.id), lambda oid: None)(self.id)
        return {"token": self.read()}

    def restore(self, token):
        self.world.do("restore", self.id, token["token"])

    def must_stay(self, found, releasing):
        return self.id in self.world.staying


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "etc" / "node.json")


def part_of(world, instance="one", section="section", *, wants=(), desired=(("an", "option"),)):
    desired = dict(desired) if desired is not None else None
    return Part(section, instance, desired, list(wants), lambda oid: Thing(world, oid))


def removal_of(world, instance="one", section="section"):
    return part_of(world, instance, section, desired=None)


def run(world, *parts, check=False):
    return converge(parts, Document.load(str(world.document)), check=check)


def ids(outcome):
    return [change.resource.id.partition(f":{os.sep}")[0] for change in outcome.changes]


# What waits, and what is kept


class Late(Thing):
    def waits_for(self):
        return "link eth9" if self.read() is None else None


def test_what_waits_is_left_for_later_and_stays_known(world):
    late = Want(Late(world, "thing:late"), "2")
    first = run(world, part_of(world, wants=[late, world.want("a", 1)]))
    assert ids(first) == ["thing:a", "document"]
    assert list(world.objects("one")) == ["thing:a"], "nothing is known of it yet"
    world.put("thing:late", "1")
    run(world, part_of(world, wants=[late, world.want("a", 1)]))
    record = world.objects("one")["thing:late"]
    assert (world.states["thing:late"], record["found"]) == ("2", "1")
    world.put("thing:late", None)
    assert ids(run(world, part_of(world, wants=[late, world.want("a", 1)]))) == []
    assert world.objects("one")["thing:late"] == record
    world.put("thing:late", "0")
    run(world, part_of(world, wants=[late, world.want("a", 1)]))
    assert (world.states["thing:late"], world.objects("one")["thing:late"]) == ("2", record)


def test_what_waits_may_be_wanted_twice(world):
    wants = [Want(Late(world, "thing:late"), state) for state in ("1", "1")]
    assert ids(run(world, part_of(world, wants=wants))) == ["document"]


def test_a_part_that_keeps_gives_nothing_back(world):
    run(world, part_of(world, wants=[world.want("a", 1), world.want("b", 2)]))
    before = world.document_data()
    part = part_of(world, wants=[world.want("a", 1)])
    part.keeps = True
    assert ids(run(world, part)) == []
    assert (world.states, world.document_data()) == ({"thing:a": 1, "thing:b": 2}, before)
    assert ids(run(world, part_of(world, wants=[world.want("a", 1)]))) == ["thing:b", "document"]


def test_what_was_asked_is_kept_beside_what_is_desired(world):
    part = part_of(world)
    part.asked = {"mtu": "auto"}
    run(world, part)
    assert world.document_data()["sections"]["section"]["one"]["asked"] == {"mtu": "auto"}
    assert ids(run(world, part_of(world))) == [], "a run that does not say leaves it"


# What the document says


def test_what_was_not_there_is_created(world):
    run(world, part_of(world, wants=[world.want("a", {"mtu": 1})]))
    record = world.objects("one")["thing:a"]
    assert record == {"origin": "created", "found": None, "hash": world.thing("a").hash({"mtu": 1})}
    assert world.states == {"thing:a": {"mtu": 1}}


def test_what_was_there_is_adopted_with_what_was_found(world):
    world.states = {"thing:a": {"mtu": 7}}
    run(world, part_of(world, wants=[world.want("a", {"mtu": 1})]))
    assert world.objects("one")["thing:a"] == {"origin": "adopted", "found": {"mtu": 7}, "hash": world.thing("a").hash({"mtu": 1})}


def test_what_is_right_already_is_adopted_and_not_written(world):
    world.states = {"thing:a": 1}
    outcome = run(world, part_of(world, wants=[world.want("a", 1)]))
    assert ids(outcome) == ["document"] and world.log == []
    assert world.objects("one")["thing:a"]["origin"] == "adopted" and world.objects("one")["thing:a"]["found"] == 1


def test_what_is_right_already_is_captured_at_the_first_contact_alone(world):
    world.states = {"thing:a": 1}
    captured = []
    world.faults["capture", "thing:a"] = captured.append
    for options in ({"an": "option"}, {"another": "option"}):
        run(world, part_of(world, wants=[world.want("a", 1)], desired=options), check=True)
        assert captured == ([] if options == {"an": "option"} else ["thing:a"])
        run(world, part_of(world, wants=[world.want("a", 1)], desired=options))
        assert captured == ["thing:a"]


@pytest.mark.parametrize("found, origin", [({"mtu": 7}, "adopted"), (None, "created")])
def test_found_stays_that_of_the_first_contact(world, found, origin):
    world.put("thing:a", found)
    for value in (1, 2, 3):
        run(world, part_of(world, wants=[world.want("a", {"mtu": value})], desired={"mtu": value}))
        world.states["thing:a"] = {"mtu": "drifted"}  # what others do between two runs is not what was found
    record = world.objects("one")["thing:a"]
    assert (record["origin"], record["found"]) == (origin, found)
    assert record["hash"] == world.thing("a").hash({"mtu": 3})


def test_the_hash_is_that_of_the_written_state_whatever_its_order_of_keys(world):
    thing = world.thing("a")
    assert thing.hash({"a": 1, "b": 2}) == thing.hash({"b": 2, "a": 1}) != thing.hash({"a": 1, "b": 3})
    assert len(thing.hash(0)) == 64 and thing.hash(None) is None


def test_what_was_desired_is_kept_as_it_was_given(world):
    run(world, part_of(world, desired={"mtu": 1450, "list": [1, {"x": None}]}))
    data = world.document_data()
    assert data["schema"] == 1 and data["sections"] == {"section": {"one": {"desired": {"mtu": 1450, "list": [1, {"x": None}]}, "objects": {}}}}


def test_a_change_of_options_alone_changes_the_document_alone(world):
    run(world, part_of(world, wants=[world.want("a", 1)]))
    outcome = run(world, part_of(world, wants=[world.want("a", 1)], desired={"another": "option"}))
    assert ids(outcome) == ["document"]
    assert world.document_data()["sections"]["section"]["one"]["desired"] == {"another": "option"}


def test_nothing_to_do_is_no_change_at_all(world):
    part = part_of(world, wants=[world.want("a", {"x": [1]}), world.want("b", None)])
    assert run(world, part).changes
    before = world.document.stat()
    world.log.clear()
    outcome = run(world, part)
    assert (outcome.changes, outcome.diff, world.log) == ([], [], [])
    assert (world.document.stat().st_ino, world.document.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_drifted_is_put_right_again(world):
    part = part_of(world, wants=[world.want("a", 1), world.want("b", 2)])
    run(world, part)
    world.states["thing:b"] = 3
    assert [change.as_dict() for change in run(world, part).changes] == [{"resource": "thing:b", "before": 3, "after": 2}]
    assert world.states == {"thing:a": 1, "thing:b": 2}


# Giving back


@pytest.mark.parametrize("found", [None, {"mtu": 7}])
def test_a_part_taken_away_gives_back_what_was_found(world, found):
    world.put("thing:a", found)
    world.states["thing:foreign"] = "stays"
    before = copy.deepcopy(world.states)
    run(world, part_of(world, wants=[world.want("a", {"mtu": 1})]))
    assert world.states != before
    outcome = run(world, removal_of(world))
    assert world.states == before and not world.document.exists()
    assert ids(outcome) == ["thing:a", "document"]
    assert run(world, removal_of(world)).changes == []


def test_an_object_that_is_no_longer_wanted_is_given_back(world):
    world.states = {"thing:adopted": "theirs"}
    run(world, part_of(world, wants=[world.want("made", 1), world.want("adopted", 1), world.want("kept", 1)]))
    run(world, part_of(world, wants=[world.want("kept", 1)]))
    assert world.states == {"thing:adopted": "theirs", "thing:kept": 1}
    assert list(world.objects("one")) == ["thing:kept"]


def test_what_came_back_by_itself_is_forgotten_without_a_write(world):
    run(world, part_of(world, wants=[world.want("a", 1)]))
    del world.states["thing:a"]
    world.log.clear()
    assert ids(run(world, removal_of(world))) == ["document"]
    assert world.log == [] and not world.document.exists()


def test_what_the_document_does_not_know_is_left_alone(world):
    world.states = {"thing:a": 1}
    assert run(world, removal_of(world)).changes == []
    assert world.states == {"thing:a": 1} and world.log == []


def test_other_parts_are_left_alone(world):
    run(world, part_of(world, "one", wants=[world.want("a", 1)]), part_of(world, "two", wants=[world.want("b", 2)]))
    run(world, removal_of(world, "one"))
    assert world.states == {"thing:b": 2} and list(world.objects("two")) == ["thing:b"]


@pytest.mark.parametrize("found", [None, "theirs"])
def test_an_object_of_two_parts_goes_back_with_its_last_holder(world, found):
    world.put("thing:both", found)
    for name in ("one", "two"):
        run(world, part_of(world, name, wants=[world.want("both", 1)]))
    assert world.objects("one") == world.objects("two")
    assert world.objects("two")["thing:both"]["found"] == found
    assert ids(run(world, removal_of(world, "one"))) == ["document"]
    assert world.states == {"thing:both": 1}
    run(world, removal_of(world, "two"))
    assert world.states.get("thing:both") == found


def test_an_object_of_two_parts_goes_back_once_when_both_leave_together(world):
    run(world, part_of(world, "one", wants=[world.want("both", 1)]), part_of(world, "two", wants=[world.want("both", 1)]))
    outcome = run(world, removal_of(world, "one"), removal_of(world, "two"))
    assert ids(outcome) == ["thing:both", "document"] and world.states == {}


def test_an_object_may_move_from_one_part_to_another(world):
    world.states = {"thing:a": "theirs"}
    run(world, part_of(world, "one", wants=[world.want("a", 1)]))
    world.log.clear()
    run(world, removal_of(world, "one"), part_of(world, "two", wants=[world.want("a", 1)]))
    assert world.log == [] and world.objects("two")["thing:a"]["found"] == "theirs"


def test_what_others_use_stays_and_is_forgotten(world):
    run(world, part_of(world, wants=[world.want("used", 1), world.want("unused", 1)]))
    world.staying = {"thing:used"}
    outcome = run(world, removal_of(world))
    assert ids(outcome) == ["thing:unused", "document"]
    assert world.states == {"thing:used": 1} and not world.document.exists()


def test_must_stay_is_told_everything_that_leaves(world):
    told = []

    class Asking(Thing):
        def must_stay(self, found, releasing):
            told.append((self.id, set(releasing)))
            return False

    run(world, part_of(world, wants=[world.want("a", 1), world.want("b", 1), world.want("c", 1)]))
    asking = Part("section", "one", {}, [world.want("c", 1)], lambda oid: Asking(world, oid))
    run(world, asking)
    assert told == [("thing:b", {"thing:a", "thing:b"}), ("thing:a", {"thing:a", "thing:b"})]


def test_must_stay_is_not_told_of_what_stays(world):
    told = []

    class Asking(Thing):
        def must_stay(self, found, releasing):
            told.append((self.id, set(releasing)))
            return self.id == "thing:c"

    world.states = {"thing:adopted": "theirs"}
    run(world, part_of(world, wants=[world.want(name, 1) for name in ("a", "adopted", "c")]))
    run(world, Part("section", "one", None, [], lambda oid: Asking(world, oid)))
    assert told == [("thing:c", {"thing:a", "thing:c"}), ("thing:adopted", {"thing:a"}), ("thing:a", {"thing:a"})]
    assert world.states == {"thing:adopted": "theirs", "thing:c": 1}


def test_a_want_of_absence_beats_giving_back(world):
    world.states = {"thing:a": "theirs"}
    run(world, part_of(world, wants=[world.want("a", 1)]))
    run(world, part_of(world, wants=[world.want("a", None)], desired=None))
    assert world.states == {} and not world.document.exists()


# Order


def test_wants_in_order_then_removals_in_reverse_then_the_document(world):
    run(world, part_of(world, "one", wants=[world.want(name, 1) for name in "abc"]), part_of(world, "two", wants=[world.want("d", 1)]))
    old = world.document.read_text()
    world.log.clear()
    world.committed.clear()
    outcome = run(
        world,
        part_of(world, "one", wants=[world.want("z", 1), world.want("b", 2)]),
        part_of(world, "two", wants=[world.want("y", 1)]),
    )
    expected = ["thing:z", "thing:b", "thing:y", "thing:d", "thing:c", "thing:a"]
    assert ids(outcome) == [*expected, "document"]
    assert [oid for _verb, oid, _state in world.log] == expected
    assert set(world.committed) == {old}  # nothing is committed before the last write
    assert world.document.read_text() != old


def test_a_want_that_is_to_come_last_comes_behind_those_of_later_parts_and_before_removals(world):
    run(world, part_of(world, "one", wants=[world.want("old", 1)]))
    last = [Want(world.thing(name), 1, last=True) for name in "xy"]
    outcome = run(world, part_of(world, "one", wants=[*last, world.want("a", 1)]), part_of(world, "two", wants=[world.want("b", 1)]))
    assert ids(outcome) == ["thing:a", "thing:b", "thing:x", "thing:y", "thing:old", "document"]
    assert set(world.objects("one")) == {"thing:a", "thing:x", "thing:y"}


def test_one_thing_wanted_by_two_parts_is_written_once(world):
    outcome = run(world, part_of(world, "one", wants=[world.want("a", 1)]), part_of(world, "two", wants=[world.want("a", 1)]))
    assert ids(outcome) == ["thing:a", "document"] and world.log == [("write", "thing:a", 1)]
    assert world.objects("one") == world.objects("two")


def test_conflicting_wants_are_refused_before_anything_is_touched(world):
    with pytest.raises(InputError) as caught:
        run(world, part_of(world, "one", wants=[world.want("z", 1), world.want("a", 1)]), part_of(world, "two", wants=[world.want("a", 2)]))
    assert str(caught.value) == "thing:a: is wanted in two different states by one run"
    assert world.log == [] and not world.document.exists()


@pytest.mark.parametrize("check", [True, False])
def test_two_parts_of_one_name_are_refused_before_anything_is_touched(world, check):
    with pytest.raises(InputError) as caught:
        run(world, part_of(world, wants=[world.want("a", 1)]), part_of(world, wants=[world.want("b", 1)]), check=check)
    assert str(caught.value) == "section/one: is given twice in one run (expected once)"
    assert world.log == [] and not world.document.exists()


# Check mode


def test_check_mode_touches_nothing_and_says_exactly_what_would_change(world):
    world.states = {"thing:adopted": "theirs", "thing:leaving": "theirs"}
    run(world, part_of(world, wants=[world.want(name, 1) for name in ("adopted", "leaving", "made")]))
    parts = [part_of(world, wants=[world.want("adopted", 2), world.want("new", [1])]), part_of(world, "two")]
    states, text = copy.deepcopy(world.states), world.document.read_text()
    world.log.clear()
    foreseen = run(world, *parts, check=True)
    assert (world.states, world.document.read_text(), world.log) == (states, text, [])
    done = run(world, *parts)
    assert [change.as_dict() for change in foreseen.changes] == [change.as_dict() for change in done.changes]
    assert foreseen.diff == done.diff and len(done.diff) == len(done.changes) == 5
    assert run(world, *parts, check=True).changes == []


def test_check_mode_needs_no_library(world):
    thing = world.thing("a")
    thing.libraries = ("no_such_library_anywhere",)
    assert ids(run(world, part_of(world, wants=[Want(thing, 1)]), check=True)) == ["thing:a", "document"]


def test_a_diff_names_what_is_absent_before_and_after(world):
    run(world, part_of(world, wants=[world.want("leaving", 5)]))
    made, left = run(world, part_of(world, wants=[world.want("a", {"mtu": 1, "up": True})]), check=True).diff[:2]
    assert made == {"before_header": "thing:a (absent)", "after_header": "thing:a", "before": "", "after": "mtu: 1\nup: true\n"}
    assert left == {"before_header": "thing:leaving", "after_header": "thing:leaving (absent)", "before": "5\n", "after": ""}


def test_a_diff_shows_what_stands_in_the_titles_when_nothing_else_differs(world):
    class Terse(Thing):
        def describe(self, state):
            return "the same\n"

    world.states["t"] = {"mode": 1}
    (made, _document) = run(world, part_of(world, wants=[Want(Terse(world, "t"), {"mode": 2})])).diff
    assert (made["before"], made["after"]) == ("mode: 1\n", "mode: 2\n")


def test_check_mode_warns_of_a_library_that_a_run_needs(world, monkeypatch):
    thing = world.thing("a")
    thing.libraries = ("no_such_library_anywhere",)
    outcome = run(world, part_of(world, wants=[Want(thing, 1)]), check=True)
    with pytest.raises(MissingLibrary):
        _converge.require_libraries(outcome.changes)


def test_the_diff_of_the_document_names_what_is_ours(world):
    diff = run(world, part_of(world, wants=[world.want("a", 1)])).diff[-1]
    assert diff["after"] == 'section/one: an="option"\n  thing:a created 6b86b273ff34\n'
    assert diff["before_header"] == f"document:{world.document} (absent)"


@pytest.mark.parametrize(
    "state, text",
    [
        (None, ""),
        ("text", "text\n"),
        (True, "true\n"),
        ({"a": None, "b": [], "c": {}}, "a: null\nb: []\nc: {}\n"),
        ({"a": ["x", 2], "b": {"c": "d"}}, "a:\n  - x\n  - 2\nb:\n  c: d\n"),
        ([["x"], {"a": 1}], "-\n  - x\n-\n  a: 1\n"),
    ],
)
def test_an_outline_is_lines_for_a_person(state, text):
    assert outline(state) == text


# Libraries


def test_a_missing_library_is_named_before_anything_is_touched(world):
    thing = world.thing("b")
    thing.libraries = ("json", "no_such_library_anywhere")
    with pytest.raises(MissingLibrary) as caught:
        run(world, part_of(world, wants=[world.want("a", 1), Want(thing, 1)]))
    assert caught.value.library == "no_such_library_anywhere"
    text = "the Python library no_such_library_anywhere is needed on this node to change thing:b: ModuleNotFoundError: "
    assert str(caught.value).startswith(text)
    assert world.log == [] and not world.document.exists()


@pytest.mark.parametrize("body", ["x = (", "raise TypeError('made for another Python')"])
def test_a_library_for_another_python_counts_as_missing(world, tmp_path, monkeypatch, body):
    (tmp_path / "broken_library_for_test.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    thing = world.thing("a")
    thing.libraries = ("broken_library_for_test",)
    with pytest.raises(MissingLibrary, match="SyntaxError|made for another Python"):
        run(world, part_of(world, wants=[Want(thing, 1)]))
    assert world.log == [] and "broken_library_for_test" not in sys.modules


@pytest.fixture
def library(world, tmp_path, monkeypatch):
    """Wants a thing that needs ``library_for_test``, of which this version is installed."""

    def converge_with(installed, requirement):
        monkeypatch.setitem(sys.modules, "library_for_test", types.ModuleType("library_for_test"))
        if installed is not None:
            info = tmp_path / "site" / "library_for_test.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: library_for_test\nVersion: {installed}\n")
            monkeypatch.syspath_prepend(str(info.parent))
        thing = world.thing("a")
        thing.libraries = (requirement,)
        run(world, part_of(world, wants=[Want(thing, 1)]))

    return converge_with


@pytest.mark.parametrize(
    "installed, requirement, said",
    [
        ("0.6.13", "library_for_test>=0.7", "version 0.6.13 is installed (expected 0.7 or newer)"),
        ("0.9", "library_for_test>=0.10", "version 0.9 is installed (expected 0.10 or newer)"),
        (None, "library_for_test>=0.7", "version 0 (of unknown version) is installed (expected 0.7 or newer)"),
    ],
)
def test_a_library_that_is_too_old_counts_as_missing(world, library, installed, requirement, said):
    with pytest.raises(MissingLibrary) as caught:
        library(installed, requirement)
    assert str(caught.value) == f"the Python library library_for_test is needed on this node to change thing:a: {said}"
    assert caught.value.library == "library_for_test"
    assert world.log == [] and not world.document.exists()


@pytest.mark.parametrize(
    "installed, requirement",
    [("0.7", "library_for_test>=0.7"), ("0.7.1", "library_for_test>=0.7"), ("0.10.0", "library_for_test>=0.9"),
     ("1.0rc1", "library_for_test>=0.7"), (None, "library_for_test")],
)  # fmt: skip
def test_a_library_that_is_new_enough_will_do(world, library, installed, requirement):
    library(installed, requirement)
    assert world.states == {"thing:a": 1}


def test_the_bridge_says_which_pyroute2_is_new_enough():
    assert [requirement.partition(">=")[:2] for requirement in Bridge("cbr0").libraries] == [("pyroute2", ">=")]


def test_the_library_of_a_thing_that_is_right_already_is_not_needed(world):
    world.states = {"thing:a": 1}
    thing = world.thing("a")
    thing.libraries = ("no_such_library_anywhere",)
    assert ids(run(world, part_of(world, wants=[Want(thing, 1)]))) == ["document"]


# Failures: a plan of five steps, in the order in which they are carried out, then the document

STEPS = ["thing:new", "thing:changed", "thing:adopted", "thing:second", "thing:first"]


@pytest.fixture
def prepared(world):
    """A world in which ``change`` takes the steps of STEPS and then the document."""
    world.states = {"thing:second": "theirs", "thing:adopted": {"theirs": True}}
    run(world, part_of(world, wants=[world.want(name, 1) for name in ("first", "second", "changed")]))
    world.log.clear()
    return world


def change(world):
    wants = [world.want("new", [1]), world.want("changed", 2), world.want("adopted", {"ours": True})]
    return run(world, part_of(world, wants=wants, desired={"another": "option"}))


def half(world, error):
    """Does the deed and fails all the same, as a write that breaks off behind its effect."""

    def fault(oid, state):
        world.put(oid, {"half": "done"})
        raise error

    return fault


def expect_undone(world, states, text, failed):
    """Everything was restored in reverse order, twice, and the world is what it was."""
    assert world.states == states and world.document.read_text() == text
    assert [oid for verb, oid, _state in world.log if verb == "write"] == STEPS[: failed + 1]
    assert [oid for verb, oid, _state in world.log if verb == "restore"] == STEPS[::-1] * 2


def test_the_plan_of_the_following_tests(prepared):
    outcome = change(prepared)
    assert ids(outcome) == [*STEPS, "document"]
    assert prepared.states == {"thing:new": [1], "thing:changed": 2, "thing:adopted": {"ours": True}, "thing:second": "theirs"}


@pytest.mark.parametrize("failed", range(len(STEPS)))
@pytest.mark.parametrize(
    "error, reason",
    [
        (NodeError("the disk is full"), "the disk is full"),
        (OSError(errno.EPERM, "Operation not permitted"), "PermissionError: [Errno 1] Operation not permitted"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
    ids=["NodeError", "OSError", "KeyError"],
)
def test_a_write_that_fails_is_undone_with_everything_before_it(prepared, failed, error, reason):
    states, text = copy.deepcopy(prepared.states), prepared.document.read_text()
    prepared.faults["write", STEPS[failed]] = half(prepared, error)
    with pytest.raises(ApplyError) as caught:
        change(prepared)
    expect_undone(prepared, states, text, failed)
    assert caught.value.undone == Undone() and caught.value.__cause__ is error
    said = f"{STEPS[failed]} could not be changed: {reason}; everything done before it was put back, the node is as it was"
    assert str(caught.value) == said


@pytest.mark.parametrize("failed", range(len(STEPS)))
def test_a_write_that_reads_back_wrong_is_undone(prepared, failed):
    states, text = copy.deepcopy(prepared.states), prepared.document.read_text()
    prepared.faults["write", STEPS[failed]] = lambda oid, state: prepared.put(oid, {"else": 1})
    with pytest.raises(ApplyError) as caught:
        change(prepared)
    expect_undone(prepared, states, text, failed)
    wanted = [[1], 2, {"ours": True}, "theirs", None][failed]
    said = f'{STEPS[failed]} could not be changed: it was written but reads back as {{"else": 1}} instead of {json.dumps(wanted)}; everything'
    assert str(caught.value).startswith(said)


def test_a_change_that_a_later_one_upsets_is_undone(prepared):
    states, text = copy.deepcopy(prepared.states), prepared.document.read_text()

    def upsetting(oid, state):
        prepared.put(oid, state)
        prepared.put(STEPS[0], "upset")

    prepared.faults["write", STEPS[2]] = upsetting
    with pytest.raises(ApplyError, match=f"{STEPS[0]} could not be changed: it was written but reads back as .upset."):
        change(prepared)
    assert (prepared.states, prepared.document.read_text()) == (states, text)


@pytest.mark.parametrize("failed", range(len(STEPS)))
def test_nothing_is_touched_when_something_cannot_be_captured(prepared, failed):
    states, text = copy.deepcopy(prepared.states), prepared.document.read_text()

    def fault(oid):
        raise NodeError("the store is full")

    prepared.faults["capture", STEPS[failed]] = fault
    with pytest.raises(NodeError) as caught:
        change(prepared)
    said = f"nothing was changed: what there is of {STEPS[failed]} cannot be kept, so that it could be put back: the store is full"
    assert str(caught.value) == said
    assert prepared.states == states and prepared.document.read_text() == text
    assert prepared.log == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize("failed", range(len(STEPS)))
def test_an_interrupted_run_is_undone_and_stays_an_interruption(prepared, failed, error):
    states, text = copy.deepcopy(prepared.states), prepared.document.read_text()
    prepared.faults["write", STEPS[failed]] = half(prepared, error)
    with pytest.raises(type(error)) as caught:
        change(prepared)
    assert caught.value is error
    expect_undone(prepared, states, text, failed)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_second_interruption_does_not_stop_the_undo(prepared, error):
    states, text = copy.deepcopy(prepared.states), prepared.document.read_text()
    first = error("the first")

    def interrupt_behind_the_deed(oid, state):
        prepared.put(oid, state)
        raise error("the second")

    prepared.faults["write", STEPS[3]] = half(prepared, first)
    prepared.faults["restore", STEPS[3]] = interrupt_behind_the_deed
    with pytest.raises(error) as caught:
        change(prepared)
    assert caught.value is first
    expect_undone(prepared, states, text, 3)


@pytest.mark.parametrize("stuck", range(3))
def test_what_cannot_be_put_back_is_named_and_the_rest_is_put_back(prepared, stuck):
    states, text = copy.deepcopy(prepared.states), prepared.document.read_text()

    def fault(oid, state):
        raise OSError("stuck")

    prepared.faults["write", STEPS[3]] = half(prepared, NodeError("the disk is full"))
    prepared.faults["restore", STEPS[stuck]] = fault
    with pytest.raises(ApplyError) as caught:
        change(prepared)
    assert caught.value.undone == Undone(stuck={STEPS[stuck]: "stuck"})
    assert str(caught.value) == f"{STEPS[3]} could not be changed: the disk is full; these could not be put back: {STEPS[stuck]} (stuck)"
    prepared.put(STEPS[stuck], states.get(STEPS[stuck]))  # all but the stuck one are as they were
    expect_undone(prepared, states, text, 3)


def test_all_that_cannot_be_put_back_are_named(prepared):
    def fault(oid, state):
        raise NodeError(f"no {oid}")

    prepared.faults.update({("write", STEPS[1]): half(prepared, NodeError("full")), ("restore", STEPS[0]): fault, ("restore", STEPS[1]): fault})
    with pytest.raises(ApplyError) as caught:
        change(prepared)
    assert str(caught.value).endswith("these could not be put back: thing:changed (no thing:changed), thing:new (no thing:new)")


def test_a_document_that_cannot_be_written_undoes_everything(prepared, monkeypatch):
    states, text = copy.deepcopy(prepared.states), prepared.document.read_text()
    rename, calls = os.rename, []

    def no_space(source, target):
        calls.append(target)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", no_space)  # the things of this test are in memory
    with pytest.raises(ApplyError) as caught:
        change(prepared)
    expect_undone(prepared, states, text, len(STEPS) - 1)
    said = f"document:{prepared.document} could not be changed: {prepared.document} cannot be written: No space left on device; everything done"
    assert str(caught.value).startswith(said)
    assert os.listdir(prepared.document.parent) == ["node.json"]
    prepared.log.clear()
    change(prepared)  # and the next run goes through
    assert prepared.document_data()["sections"]["section"]["one"]["desired"] == {"another": "option"}


def test_a_failed_first_run_leaves_no_document(world):
    world.faults["write", "thing:b"] = half(world, NodeError("no"))
    with pytest.raises(ApplyError):
        run(world, part_of(world, wants=[world.want("a", 1), world.want("b", 1)]))
    assert world.states == {} and not world.document.parent.exists()


def test_restore_gets_the_token_and_not_the_state(world):
    """A thing whose write has side effects puts these back from what it captured."""

    class Deep(Thing):
        def capture(self):
            return {"value": self.read(), "beside": 42}

        def restore(self, token):
            tokens.append(token)

    tokens = []
    world.states = {"thing:a": 0}
    world.faults["write", "thing:a"] = half(world, NodeError("no"))
    with pytest.raises(ApplyError):
        run(world, part_of(world, wants=[Want(Deep(world, "thing:a"), 1)]))
    assert tokens == [{"value": 0, "beside": 42}] * 2


def test_by_default_a_thing_is_captured_by_reading_and_restored_by_writing():
    class Plain(Resource):
        id = "plain"
        value = "before"

        def read(self):
            return self.value

        def write(self, state):
            self.value = state

    thing = Plain()
    token = thing.capture()
    thing.write("after")
    thing.restore(token)
    assert thing.value == "before"
    assert thing.must_stay(None, frozenset()) is False and thing.libraries == ()


def test_planning_alone_touches_nothing(world):
    document = Document.load(str(world.document))
    world.states = {"thing:right": 1}
    planned = _converge.plan([part_of(world, wants=[world.want("a", 1), world.want("right", 1)])], document)
    assert ids(planned) == ["thing:a", "document"] and [resource.id for resource in planned.adopted] == ["thing:right"]
    assert world.log == [] and document.sections == {}
