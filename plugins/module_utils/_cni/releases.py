# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Which release of the reference plugins a binary is of, and which keys of the table it therefore cannot know.

Releases are words such as ``1.6.0``. Distributions build without the release's number, so it is found out, best first,
from the about-line, from the JSON tags of the structs that the binary decodes its configuration into, and from its
VERSION answer (cni.md 2.5, 2.8).
"""

from __future__ import annotations

import re
import typing as t

from .._errors import Problem
from .keys import PLUGINS, Plugin
from .kinds import Choice, Key, Kind, List, Map, Object, Problems, either, show
from .versions import number, well_formed

# Highest version of a VERSION answer -> first release that gives it, and the first that gives a higher one (cni.md 2.5).
_BY_SPEC = (("1.1.0", "1.6.0", ""), ("1.0.0", "1.0.0", "1.6.0"), ("0.4.0", "0.8.0", "1.0.0"), ("0.0.0", "", "0.8.0"))

# pkg/utils/buildversion: "CNI bridge plugin v1.6.0". A suffix (v1.6.0-rc1) makes another program of it.
_ABOUT = re.compile(r"CNI \S+ plugin v([0-9]+\.[0-9]+\.[0-9]+)\s*$", re.MULTILINE)


class Release(t.NamedTuple):
    """What is known of a binary's release: at least ``first``, and before ``before``; "" when that is not known.

    ``known_keys`` are the keys that it decodes, ``None`` when they cannot be told.
    """

    first: str = ""
    before: str = ""
    known_keys: frozenset[str] | None = None

    def is_before(self, release: str) -> bool:
        """Whether it certainly is."""
        return bool(self.before) and number(self.before) <= number(release)

    def may_be_before(self, release: str) -> bool:
        return not self.first or number(self.first) < number(release)

    def lacks(self, since: str, until: str = "", words: t.Collection[str] = ()) -> bool:
        """Whether it certainly does not know what releases ``since`` to ``until`` know. ``words``: keys by which that is
        reached in the configuration; one that is nowhere in the binary is decided by that."""
        if self.known_keys is not None and not self.known_keys.issuperset(words):
            return True
        return bool(since and self.is_before(since)) or bool(until and not self.may_be_before(_next(until)))

    def __str__(self) -> str:
        if not self.first:
            return f"a release before {self.before}" if self.before else "an unknown release"
        if self.before == _next(self.first):
            return f"release {self.first}"
        return f"release {self.first} or newer" + (f", before {self.before}" if self.before else "")


def common(found: t.Iterable[Release]) -> Release:
    """What is known of the one release that several binaries are of; nothing when they cannot be of one."""
    listed = list(found)
    first = max((release.first for release in listed if release.first), key=number, default="")
    before = min((release.before for release in listed if release.before), key=number, default="")
    return Release() if first and before and number(first) >= number(before) else Release(first, before)


def _next(release: str) -> str:
    major, minor, patch = number(release)
    return f"{major}.{minor}.{patch + 1}"


def recognise(name: str, versions: t.Sequence[str], about: str, tags: t.Collection[str]) -> Release:
    """The release of the installed plugin ``name``, of which nothing is known if it is no reference plugin.

    ``versions``: its VERSION answer. ``about``: what it prints without a command. ``tags``: the JSON names in the binary.
    """
    plugin = PLUGINS.get(name)
    exact = _ABOUT.search(about)
    if plugin is None:
        return Release()
    if exact:
        return Release(exact[1], _next(exact[1]))
    answered = _by_spec(versions)
    if not _oldest(plugin).issubset(tags):  # packed, or not the reference plugin
        return answered
    found = Release(*_by_tags(plugin, answered, tags), frozenset(tags))
    contradicts = found.first and found.before and number(found.first) >= number(found.before)
    return answered if contradicts else found


def _by_spec(versions: t.Sequence[str]) -> Release:
    top = max((version for version in versions if well_formed(version)), key=number, default=None)
    for spec, first, before in _BY_SPEC:
        if top is not None and number(top) >= number(spec):
            return Release(first, before)
    return Release()


def _oldest(plugin: Plugin) -> set[str]:
    """Keys that every release decodes. ``args`` is handed on by most plugins without a look."""
    return {name for name, key in plugin.keys.keys.items() if not key.since and not key.until} - {"args"} | {"cniVersion"}


def _by_tags(plugin: Plugin, answered: Release, tags: t.Collection[str]) -> tuple[str, str]:
    firsts, befores = [answered.first, plugin.since], [answered.before]
    for words, key in dated_keys(plugin.keys):
        if set(words).issubset(tags):
            firsts.append(key.since)
            befores.append(_next(key.until) if key.until else "")
        elif not key.until:
            befores.append(key.since)
    return max(filter(None, firsts), key=number, default=""), min(filter(None, befores), key=number, default="")


def dated_keys(kind: Kind, words: tuple[str, ...] = ()) -> t.Iterator[tuple[tuple[str, ...], Key]]:
    """Every key that not all releases know, with the keys by which it is reached: ``("args", "cni", "mac")``."""
    if isinstance(kind, Object):
        for name, key in kind.keys.items():
            if key.since or key.until:
                yield (*words, name), key
            yield from dated_keys(key.kind, (*words, name))
    elif isinstance(kind, (List, Map)):
        yield from dated_keys(kind.of, words)


def check_plugin(name: str, value: t.Mapping[str, t.Any], release: Release, path: str) -> Problems:
    """What the plugin of this release would ignore, or refuse, in its part ``value`` of a configuration."""
    if name in PLUGINS:
        yield from _check(PLUGINS[name].keys, value, path, (), _Installed(name, release))


class _Installed(t.NamedTuple):
    name: str
    release: Release

    def does_not_know(self, value: t.Any, since: str, until: str, otherwise: str) -> str:
        expected = f"release {since} to {until}" if until else f"release {since} or newer"
        return f"{show(value)} is not known to the installed {self.name}, {self.release} (expected {expected}, or {otherwise})"


def _check(kind: Kind, value: t.Any, path: str, words: tuple[str, ...], installed: _Installed) -> Problems:
    if isinstance(kind, Object) and isinstance(value, dict):
        for name in [name for name in value if name in kind.keys]:
            yield from _check_key(kind.keys[name], value[name], f"{path}.{name}", (*words, name), installed)
    elif isinstance(kind, List) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check(kind.of, item, f"{path}[{index}]", words, installed)
    elif isinstance(kind, Choice) and isinstance(value, str):
        yield from _check_word(kind, value, path, installed)


def _check_key(key: Key, value: t.Any, path: str, words: tuple[str, ...], installed: _Installed) -> Problems:
    if (key.since or key.until) and installed.release.lacks(key.since, key.until, words):
        yield Problem(path, installed.does_not_know(value, key.since, key.until, "the key left out"))
    else:
        yield from _check(key.kind, value, path, words, installed)


def _check_word(kind: Choice, value: str, path: str, installed: _Installed) -> Problems:
    if installed.release.lacks(kind.words.get(value, "")):
        known = [word for word, since in kind.words.items() if not installed.release.lacks(since)]
        yield Problem(path, installed.does_not_know(value, kind.words[value], "", either(known or ["the key left out"])))
