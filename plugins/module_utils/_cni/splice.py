# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Changes in the text of somebody's list: one element of ``plugins`` put in, replaced or taken out, no other character
touched. A text is one that ``model.parse`` took.
"""

from __future__ import annotations

import json
import re
import typing as t

Span = tuple[int, int]

#: Python's recursion ends at 1000 calls, of which each level takes several.
_DEEPEST = 100

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Number(float):
    """A number with a fraction or an exponent that is written back as it was spelled: ``1.10``, ``1e3``."""

    text: str

    def __new__(cls, text: str) -> Number:
        made = super().__new__(cls, text)
        made.text = text
        return made


def load(text: str) -> t.Any:
    """The value of a JSON text, with each fraction as a ``Number``. ``ValueError`` for an object that has a key twice, of
    which only one could be written back, and for what is nested too deeply for that."""
    value = json.loads(text, parse_float=Number, object_pairs_hook=_object)
    level = [value]
    for _depth in range(_DEEPEST):
        level = [child for item in level for child in _children(item)]
    if level:
        raise ValueError(f"is nested more than {_DEEPEST} deep, so it cannot be written back")
    return value


def _children(value: t.Any) -> t.Iterable[t.Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _object(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _value in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object in it has the key {twice!r} twice, so it cannot be changed without losing one of the two values")
    return made


def dump(value: t.Any, unit: str = "  ", begin: str = "\n") -> str:
    """JSON as ``json.dumps(value, indent=unit)`` writes it, with each ``Number`` as it was spelled. ``begin`` is what each
    line begins with, its line break included."""
    inner = begin + unit
    if isinstance(value, dict) and value:
        members = [f"{_word(key)}: {dump(item, unit, inner)}" for key, item in value.items()]
        return "{" + inner + f",{inner}".join(members) + begin + "}"
    if isinstance(value, list) and value:
        return "[" + inner + f",{inner}".join(dump(item, unit, inner) for item in value) + begin + "]"
    return _word(value)


def dump_flat(value: t.Any) -> str:
    """The same on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(key)}: {dump_flat(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dump_flat(item) for item in value) + "]"
    return _word(value)


def _word(value: t.Any) -> str:
    if isinstance(value, Number):
        return value.text
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell but UTF-8 cannot
        return json.dumps(value)
    return text


def unit_of(text: str) -> str:
    """What a text is indented by: the white space before its first indented line, else two spaces."""
    found = re.search(r"\n([ \t]+)\S", text)
    return found.group(1) if found else "  "


def line_break(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def element(text: str, index: int) -> str:
    """The text of one plugin of a list."""
    start, end = _plugins(text)[index]
    return text[start:end]


def put(text: str, index: int, plugin: t.Mapping[str, t.Any]) -> str:
    """The list with one more plugin that becomes number ``index``, which is not the first, laid out as the one before."""
    start, end = _plugins(text)[index - 1]
    before = text[text.rindex("[" if index == 1 else ",", 0, start) + 1 : start]
    gap = before if index > 1 or "\n" in before else " "
    return f"{text[:end]},{gap}{_laid_out(text, start, end, plugin)}{text[end:]}"


def replace(text: str, index: int, plugin: t.Mapping[str, t.Any] | str) -> str:
    """The list with another plugin as number ``index``, laid out as the one that it replaces unless it is a text."""
    start, end = _plugins(text)[index]
    made = plugin if isinstance(plugin, str) else _laid_out(text, start, end, plugin)
    return text[:start] + made + text[end:]


def take_out(text: str, index: int) -> str:
    """The list without its plugin number ``index``, which is not the only one. Undoes ``put``, character by character."""
    spans = _plugins(text)
    start, end = (spans[index - 1][1], spans[index][1]) if index else (spans[0][0], spans[1][0])
    return text[:start] + text[end:]


def _laid_out(text: str, start: int, end: int, plugin: t.Mapping[str, t.Any]) -> str:
    """A plugin on one line or on several, as the one at this place."""
    if "\n" not in text[start:end]:
        return dump_flat(dict(plugin))
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return dump(dict(plugin), unit_of(text), line_break(text) + line[: len(line) - len(line.lstrip(" \t"))])


def _plugins(text: str) -> list[Span]:
    """Where the plugins of a list begin and end. Of a key given twice the last counts, as in ``json.loads``."""
    start = 0
    for key, begin in _members(text):
        if key == "plugins":
            start = begin
    return list(_elements(text, start))


def _members(text: str) -> t.Iterator[tuple[str, int]]:
    """Key and begin of the value for each member of the object that the text is."""
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)  # behind the colon
        yield key, at
        at = _after(text, _DECODER.raw_decode(text, at)[1])


def _elements(text: str, start: int) -> t.Iterator[Span]:
    """Begin and end of each element of the array that begins at ``start``."""
    at = _skip(text, start + 1)
    while text[at] != "]":
        end = _DECODER.raw_decode(text, at)[1]
        yield at, end
        at = _after(text, end)


def _after(text: str, end: int) -> int:
    """The place of the next item behind a value, or of the bracket that closes."""
    at = _skip(text, end)
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    return t.cast("re.Match[str]", _SPACE.match(text, at)).end()
