# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import entries, model, splice
from hypothesis import given
from hypothesis import strategies as st

PORTMAP = entries.portmap_entry({"snat": False})
TYPES = st.sampled_from(["bridge", "calico", "portmap", "cilium-cni", "istio-cni", "tuning", "é"])
WORDS = st.text(max_size=6)
#: Numbers as people spell them, each of which is to stay as it is.
NUMBERS = ["0", "-1", "12345678901234567890123", "1e3", "1.10", "-0.0", "1E-7", "2.50e+10"]


class Spelled(str):
    """The text of a number."""


VALUES = st.recursive(
    st.none() | st.booleans() | WORDS | st.sampled_from(NUMBERS).map(Spelled),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
PLUGINS = st.builds(lambda name, rest: {**rest, "type": name}, TYPES, st.dictionaries(WORDS, VALUES, max_size=3))
HEAD = st.dictionaries(WORDS.filter(lambda word: word not in ("name", "plugins")), VALUES, max_size=2)
CONFIGS = st.builds(lambda head, plugins, tail: {**head, "name": "n", "plugins": plugins, **tail}, HEAD, st.lists(PLUGINS, min_size=1, max_size=4), HEAD)


@st.composite
def texts(draw):
    """A list in some layout: the white space, the escapes and the spelling of numbers are anybody's."""
    space = st.sampled_from(["", " ", "\n", "\n    ", "\n\t", "\r\n  "])
    escaped = draw(st.booleans())

    def spell(value):
        def gap():
            return draw(space)

        if isinstance(value, Spelled):
            return value
        if isinstance(value, dict):
            members = [f"{gap()}{spell(key)}{gap()}:{gap()}{spell(item)}{gap()}" for key, item in value.items()]
            return "{" + (",".join(members) or gap()) + "}"
        if isinstance(value, list):
            return "[" + (",".join(f"{gap()}{spell(item)}{gap()}" for item in value) or gap()) + "]"
        return json.dumps(value, ensure_ascii=escaped)

    return draw(space) + spell(draw(CONFIGS)) + draw(space)


def ordered(value):
    """Something equal only for values whose keys have the same order, and whose numbers the same spelling."""
    return splice.dump(value)


@given(texts())
def test_put_in_and_taken_out_every_list_is_the_same_text(text):
    config = splice.load(text)
    index = entries.place(config["plugins"])
    made = splice.put(text, index, PORTMAP)
    expected = {**config, "plugins": [*config["plugins"][:index], PORTMAP, *config["plugins"][index:]]}
    assert ordered(splice.load(made)) == ordered(expected)
    assert splice.take_out(made, index) == text


@given(texts(), st.data())
def test_any_plugin_is_replaced_alone_and_comes_back_as_it_was_spelled(text, data):
    config = splice.load(text)
    index = data.draw(st.integers(0, len(config["plugins"]) - 1))
    made = splice.replace(text, index, PORTMAP)
    expected = [PORTMAP if number == index else plugin for number, plugin in enumerate(config["plugins"])]
    assert ordered(splice.load(made)) == ordered({**config, "plugins": expected})
    assert splice.replace(made, index, splice.element(text, index)) == text


@given(texts(), st.data())
def test_any_plugin_but_the_last_one_is_taken_out_alone(text, data):
    config = splice.load(text)
    if len(config["plugins"]) > 1:
        index = data.draw(st.integers(0, len(config["plugins"]) - 1))
        left = [plugin for number, plugin in enumerate(config["plugins"]) if number != index]
        assert ordered(splice.load(splice.take_out(text, index))) == ordered({**config, "plugins": left})


@given(CONFIGS.map(lambda config: json.loads(json.dumps(config))))
def test_with_and_without_an_entry_a_list_is_the_same(config):
    bare = {**config, "plugins": [plugin for plugin in config["plugins"] if plugin["type"] != "portmap"] or [{"type": "ptp"}]}
    assert json.dumps(entries.without_entry(entries.with_entry(bare, PORTMAP), "portmap")) == json.dumps(bare)


@given(CONFIGS.map(lambda config: json.loads(json.dumps(config))))
def test_a_text_of_ours_differs_in_the_lines_of_the_entry_only(config):
    """Also where the entry comes last: the line before it gets a comma."""
    before, after = model.render(config), splice.put(model.render(config), entries.place(config["plugins"]), PORTMAP)
    index = entries.place(config["plugins"])
    assert after == model.render({**config, "plugins": [*config["plugins"][:index], PORTMAP, *config["plugins"][index:]]})
    assert len(after.splitlines()) == len(before.splitlines()) + len(model.render(PORTMAP).splitlines())


@given(CONFIGS)
def test_a_value_is_written_as_json_does_it(config):
    plain = json.loads(json.dumps(config))
    assert splice.dump(plain) == json.dumps(plain, indent=2, ensure_ascii=False)
    assert splice.dump_flat(plain) == json.dumps(plain, ensure_ascii=False)


def test_half_a_surrogate_pair_is_escaped():
    assert splice.dump(splice.load('["\\ud800", "\u00e9"]')) == '[\n  "\\ud800",\n  "\u00e9"\n]'


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_stay_as_they_are_spelled(number):
    assert splice.dump_flat(splice.load(f"[{number}]")) == f"[{number}]"


def test_of_two_lists_of_plugins_the_one_that_counts_is_changed():
    text = '{"plugins": [{"type": "a"}], "name": "n", "plugins": [{"type": "b"}]}'
    assert splice.put(text, 1, {"type": "c"}) == text.replace('"b"}', '"b"}, {"type": "c"}')
    with pytest.raises(ValueError, match="an object in it has the key 'plugins' twice"):
        splice.load(text)


@pytest.mark.parametrize(
    "text, unit",
    [('{\n    "a": 1\n}', "    "), ('{\n\t"a": 1\n}', "\t"), ('{\r\n  "a": 1\r\n}', "  "), ('{"a": 1}', "  "), ('{\n"a": {\n "b": 1}}', " ")],
)
def test_indentation_is_that_of_the_file(text, unit):
    assert splice.unit_of(text) == unit


@pytest.mark.parametrize(
    "text, expected",
    [
        ('{"plugins":[{"type":"a"}]}', '{"plugins":[{"type":"a"}, {"type": "c"}]}'),
        ('{\n\t"plugins": [{\n\t\t"type": "a"\n\t}]\n}', '{\n\t"plugins": [{\n\t\t"type": "a"\n\t}, {\n\t\t"type": "c"\n\t}]\n}'),
        ('{\r\n  "plugins": [\r\n    {"type": "a"}\r\n  ]\r\n}', '{\r\n  "plugins": [\r\n    {"type": "a"},\r\n    {"type": "c"}\r\n  ]\r\n}'),
        (
            '{\r\n  "plugins": [\r\n    {\r\n      "type": "a"\r\n    }\r\n  ]\r\n}',
            '{\r\n  "plugins": [\r\n    {\r\n      "type": "a"\r\n    },\r\n    {\r\n      "type": "c"\r\n    }\r\n  ]\r\n}',
        ),
    ],
)
def test_a_new_entry_looks_like_the_one_before(text, expected):
    assert splice.put(text, 1, {"type": "c"}) == expected
