# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds of every configuration: reading it and writing it back loses nothing and moves nothing."""

from __future__ import annotations

import json
from random import Random

from ansible_collections.kubenode.network.plugins.module_utils._cni import model
from hypothesis import given, settings
from hypothesis import strategies as st
from testbed.generated import VERSIONS, Maker

# JSON can spell half a surrogate pair, and people's files may hold one.
halves = st.text(st.characters(categories=["Cs", "Cc", "Zs"]), max_size=3).map(lambda word: json.loads(json.dumps(word)))  # two make one character
words = st.text(max_size=20) | halves
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=10)
# Go takes a key for one that it knows in any letter case.
KNOWN = ("type", "capabilities", "ipam", "dns", "name", "cniversion", "plugins", "cniversions", "disablecheck", "disablegc", "loadonlyinlinedplugins")
others = st.dictionaries(words.filter(lambda word: word.lower() not in KNOWN), values, max_size=4)
texts = st.text(min_size=1, max_size=10)
dns = st.fixed_dictionaries({}, optional={"domain": words, "nameservers": st.lists(words, max_size=2), "search": st.lists(words, max_size=2)})
ipam = st.builds(lambda named, more: {**more, **named}, st.fixed_dictionaries({}, optional={"type": texts}), others)


@st.composite
def shuffled(draw, parts):
    """One object of several, its keys in any order."""
    whole = {}
    for part in parts:
        whole.update(draw(part))
    return {key: whole[key] for key in draw(st.permutations(list(whole)))}


known = st.fixed_dictionaries({"type": texts}, optional={"capabilities": st.dictionaries(words, st.booleans(), max_size=3), "ipam": ipam, "dns": dns})
plugins = shuffled([known, others])
head = st.fixed_dictionaries({"name": words}, optional={"cniVersion": words, "disableCheck": st.booleans()})
lists = shuffled([head, others, st.fixed_dictionaries({"plugins": st.lists(plugins, min_size=1, max_size=3)})])
singles = shuffled([st.fixed_dictionaries({}, optional={"name": words, "cniVersion": words}), plugins])


def same(one, other):
    """Equal, key order and kinds of numbers included."""
    return json.dumps(one) == json.dumps(other)


@settings(deadline=None)
@given(lists)
def test_a_list_comes_back_as_it_was(config):
    assert same(model.parse(model.render(config), "10-a.conflist"), config)


@settings(deadline=None)
@given(singles)
def test_a_single_configuration_comes_back_as_it_was(config):
    assert same(model.parse(model.render(config), "10-a.conf"), config)


@settings(deadline=None)
@given(lists, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_a_file_of_any_layout_is_read_and_written_once_for_all(config, indent, escaped):
    """However somebody spaced and spelt it, what is written has the same content, and writing it again changes nothing."""
    text = json.dumps(config, indent=indent, ensure_ascii=escaped)
    written = model.render(model.parse(text, "10-a.conflist"))
    assert same(json.loads(written), config)
    assert model.render(model.parse(written, "10-a.conflist")) == written


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.sampled_from(["kubelets_chain", "other_chain"]))
def test_whatever_is_built_is_read_back(seed, chain):
    """A network that the model has nothing against, as a list and, of its first plugin, as a single configuration."""
    maker = Maker(Random(seed))
    version, plugins = maker.accepted(chain, lambda version, plugins: model.check_plugins(plugins, cni_version=version), VERSIONS)
    for some, name in ((plugins, "10-net.conflist"), (plugins[:1], "10-net.conf")):
        config = model.build("net", version, some, single=name == "10-net.conf")
        assert same(model.parse(model.render(config), name), config)
