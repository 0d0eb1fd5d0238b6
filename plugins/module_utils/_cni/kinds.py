# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What one JSON value may be: the words in which the table of keys is written, and their interpreter.

``Kind.check(value, path)`` yields every problem of one value. Plugins are written in Go and decode strictly by type
(``"true"`` is no bool, ``1500.0`` no int) but ignore keys they do not know; here both are problems.

Every run of a module makes these classes anew, so they have no more generated methods than they need: half the time.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import typing as t

from .._errors import Problem

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Problems = t.Iterator[Problem]

_SHOWN = 60


def show(value: t.Any) -> str:
    """A value as it is quoted in a message: strings in quotes, everything else as JSON, long ones cut."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=repr, skipkeys=True, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def either(words: t.Iterable[str]) -> str:
    """``a, b or c``"""
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} or {listed[-1]}"


def closest(word: str, known: t.Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word most like ``word``; case, ``_`` and ``-`` do not count."""
    import difflib  # only for messages

    plain = {_plain(name): name for name in known}
    found = difflib.get_close_matches(_plain(word), list(plain), n=1, cutoff=cutoff)
    return plain[found[0]] if found else None


def _plain(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()


def parse_ip(text: t.Any) -> Address | None:
    """An address as Go's net.ParseIP takes it: no zone, no leading zeros. IPv4-mapped IPv6 is not taken."""
    if not isinstance(text, str) or "%" in text or _leading_zero(text):
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if getattr(found, "ipv4_mapped", None) else found


def _leading_zero(text: str) -> bool:
    # Python before 3.9.5 took 010.0.0.1 for 10.0.0.1.
    return "." in text and any(len(part) > 1 and part[0] == "0" for part in text.rpartition(":")[2].split("."))


def parse_cidr(text: t.Any) -> tuple[Address, Network] | None:
    """``(address, network)`` of ``10.8.0.5/24`` as Go's net.ParseCIDR takes it: the prefix is a number, never a mask."""
    if not isinstance(text, str):
        return None
    word, slash, prefix = text.partition("/")
    address = parse_ip(word)
    if address is None or not slash or not re.fullmatch("0|[1-9][0-9]{0,2}", prefix) or int(prefix) > address.max_prefixlen:
        return None
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    return address, network


class Kind:
    """One sort of JSON value."""

    def check(self, value: t.Any, path: str) -> Problems:
        raise NotImplementedError


class Anything(Kind):
    """Not looked at."""

    def check(self, value: t.Any, path: str) -> Problems:
        return iter(())


ANYTHING = Anything()


class Bool(Kind):
    def check(self, value: t.Any, path: str) -> Problems:
        if not isinstance(value, bool):
            yield Problem(path, f"{show(value)} is not a boolean (expected true or false)")


@dataclasses.dataclass(eq=False, repr=False)
class Int(Kind):
    """A whole number from ``low`` to ``high``, or one of ``also``. A JSON ``1500.0`` is none for Go, nor is ``true``."""

    low: int
    high: int
    also: tuple[int, ...] = ()

    def check(self, value: t.Any, path: str) -> Problems:
        expected = f"expected {either([str(number) for number in self.also] + [f'{self.low}..{self.high}'])}"
        if not isinstance(value, int) or isinstance(value, bool):
            yield Problem(path, f"{show(value)} is not an integer ({expected})")
        elif value not in self.also and not self.low <= value <= self.high:
            yield Problem(path, f"{value} is out of range ({expected})")


@dataclasses.dataclass(eq=False, repr=False)
class Text(Kind):
    """A string, if ``pattern`` is given a whole match of it; ``expected`` says in words what that is."""

    pattern: str = ""
    expected: str = "a string"

    def check(self, value: t.Any, path: str) -> Problems:
        if not isinstance(value, str):
            yield Problem(path, f"{show(value)} is not a string (expected {self.expected})")
        elif self.pattern and not re.fullmatch(self.pattern, value):
            yield Problem(path, f"{show(value)} is not usable (expected {self.expected})")


@dataclasses.dataclass(eq=False, repr=False)
class Choice(Kind):
    """One word of several; each names the first plugin release that knows it ("" when that is older than 0.8.0)."""

    words: t.Mapping[str, str]

    def check(self, value: t.Any, path: str) -> Problems:
        if not isinstance(value, str) or value not in self.words:
            yield Problem(path, f"{show(value)} is not known (expected {either(self.words)})")


class Ip(Kind):
    def check(self, value: t.Any, path: str) -> Problems:
        if parse_ip(value) is None:
            yield Problem(path, f"{show(value)} is not an IP address (expected e.g. 10.244.1.1 or fd00::1)")


@dataclasses.dataclass(eq=False, repr=False)
class Cidr(Kind):
    """An address with a prefix length; with ``network`` one without host bits."""

    network: bool = True

    def check(self, value: t.Any, path: str) -> Problems:
        parsed = parse_cidr(value)
        if parsed is None:
            example = "10.244.1.0/24" if self.network else "10.244.1.5/24"
            yield Problem(path, f"{show(value)} is not a CIDR (expected e.g. {example})")
        elif self.network and parsed[0] != parsed[1].network_address:
            yield Problem(path, f"{show(value)} has host bits set (expected {parsed[1]})")


@dataclasses.dataclass(eq=False, repr=False)
class List(Kind):
    of: Kind
    expected: str
    least: int = 0

    def check(self, value: t.Any, path: str) -> Problems:
        if not isinstance(value, list):
            yield Problem(path, f"{show(value)} is not a list (expected {self.expected})")
            return
        if len(value) < self.least:
            yield Problem(path, f"{show(value)} is too short (expected {self.expected})")
        for index, item in enumerate(value):
            yield from self.of.check(item, f"{path}[{index}]")


@dataclasses.dataclass(eq=False, repr=False)
class Map(Kind):
    """An object with free keys; ``key`` limits their spelling."""

    of: Kind
    expected: str
    key: Kind = ANYTHING

    def check(self, value: t.Any, path: str) -> Problems:
        if not isinstance(value, dict):
            yield Problem(path, f"{show(value)} is not an object (expected {self.expected})")
            return
        for name, item in value.items():
            yield from self.key.check(name, f"{path}.{name}")
            yield from self.of.check(item, f"{path}.{name}")


@dataclasses.dataclass(eq=False, repr=False)
class Key:
    """One key of an object. ``since``: first plugin release that knows it ("" when as old as the plugin, or older than
    0.8.0); ``until``: last one that does ("" when the newest still does)."""

    kind: Kind
    since: str = ""
    until: str = ""
    required: bool = False


class Rule:
    """Something about several keys of one object."""

    def check(self, value: t.Mapping[str, t.Any], path: str) -> Problems:
        raise NotImplementedError


@dataclasses.dataclass(eq=False, repr=False)
class Object(Kind):
    """An object with known keys. ``name`` is what messages call it; ``open`` lets unknown keys pass."""

    name: str
    keys: t.Mapping[str, Key]
    rules: tuple[Rule, ...] = ()
    open: bool = False

    def check(self, value: t.Any, path: str) -> Problems:
        if not isinstance(value, dict):
            yield Problem(path, f"{show(value)} is not an object (expected {self.name})")
            return
        for name, item in value.items():
            if name in self.keys:
                yield from self.keys[name].kind.check(item, f"{path}.{name}")
            elif not self.open:
                yield self._unknown(name, path)
        for name, key in self.keys.items():
            if key.required and name not in value:
                yield Problem(f"{path}.{name}", f"missing in {self.name} {show(value)} (expected a value)")
        for rule in self.rules:
            yield from rule.check(value, path)

    def _unknown(self, name: t.Any, path: str) -> Problem:
        near = closest(str(name), self.keys)
        if near:
            return Problem(f"{path}.{name}", f"{str(name)!r} is not a key of {self.name} (expected {near}?)")
        known = f"expected {either(sorted(self.keys))}" if self.keys else "it has none"
        return Problem(f"{path}.{name}", f"{str(name)!r} is not a key of {self.name} ({known})")


SET = object()
TRUTHY = object()


@dataclasses.dataclass(eq=False, repr=False)
class Given:
    """A condition on one key: it is there (``SET``), it is neither false, 0 nor empty (``TRUTHY``), or it is ``value``."""

    key: str
    value: t.Any = SET

    def holds(self, of: t.Mapping[str, t.Any]) -> bool:
        if self.key not in of:
            return False
        if self.value is SET:
            return True
        return bool(of[self.key]) if self.value is TRUTHY else of[self.key] == self.value


@dataclasses.dataclass(eq=False, repr=False)
class NotBoth(Rule):
    first: Given
    second: Given

    def check(self, value: t.Mapping[str, t.Any], path: str) -> Problems:
        if self.first.holds(value) and self.second.holds(value):
            one, other = self.first.key, self.second.key
            text = f"{show(value[other])} cannot be combined with {one}: {show(value[one])} (expected only one of the two)"
            yield Problem(f"{path}.{other}", text)


@dataclasses.dataclass(eq=False, repr=False)
class Together(Rule):
    """Neither or both; with ``TRUTHY`` a 0 counts as not given."""

    first: Given
    second: Given

    def check(self, value: t.Mapping[str, t.Any], path: str) -> Problems:
        for here, there in ((self.first, self.second), (self.second, self.first)):
            if here.holds(value) and not there.holds(value):
                got = f"{here.key}: {show(value[here.key])}"
                yield Problem(f"{path}.{there.key}", f"{show(value.get(there.key))} beside {got} (expected both or neither)")


@dataclasses.dataclass(eq=False, repr=False)
class AnyOf(Rule):
    """At least one of some keys, unless ``unless`` holds."""

    names: tuple[str, ...]
    unless: t.Callable[[t.Mapping[str, t.Any]], bool] = lambda value: False

    def check(self, value: t.Mapping[str, t.Any], path: str) -> Problems:
        if not any(value.get(name) for name in self.names) and not self.unless(value):
            yield Problem(path, f"none of {', '.join(self.names)} given (expected at least one)")


@dataclasses.dataclass(eq=False, repr=False)
class Ascending(Rule):
    low: str
    high: str

    def check(self, value: t.Mapping[str, t.Any], path: str) -> Problems:
        low, high = value.get(self.low), value.get(self.high)
        if isinstance(low, int) and isinstance(high, int) and low > high:
            yield Problem(f"{path}.{self.high}", f"{high} is below {self.low}: {low} (expected {low} or more)")
