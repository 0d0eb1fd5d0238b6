# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What the files of sysctl.d(5) and modprobe.d(5) come to at the next boot. Names and texts only; nothing is read here.

Sources: sysctl.d(5), sysctl(8), modprobe.d(5); held against ``systemd-sysctl`` of Debian 11, 12, 13 and sid (systemd 247 and newer) and
``sysctl --system`` of Debian 12 and 13 (procps 4.0.2, 4.0.4). That of procps 3 knows no patterns, and that of sid lets patterns take keys
out of other patterns; there, a line with a pattern is judged as systemd does.
"""

from __future__ import annotations

import functools
import os
import re
import typing as t

#: Of two files of one name the one in the earlier folder counts.
SYSCTL_FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
#: procps reads it behind all others, systemd not at all; Debian links it as 99-sysctl.conf.
SYSCTL_FILE = "/etc/sysctl.conf"
MODPROBE_FOLDERS = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
SUFFIX = ".conf"

SYSTEMD, PROCPS = "systemd-sysctl", "sysctl --system"
PROGRAMS = (SYSTEMD, PROCPS)
#: Keys that are one switch in the kernel.
_ALIASES = {"net/ipv4/ip_forward": ("net/ipv4/conf/all/forwarding",)}

Texts = t.Mapping[str, str]


class Setting(t.NamedTuple):
    """A line of a file. ``key``: a path below /proc/sys, or a pattern for such. ``value`` is None where the line only takes the key
    out of what patterns match."""

    path: str
    line: int
    key: str
    value: str | None


class Override(t.NamedTuple):
    """A line that gives a key another value than it has: ``by`` these of ``PROGRAMS``."""

    key: str
    value: str
    path: str
    line: int
    by: list[str]


class Block(t.NamedTuple):
    """A line of a file that keeps a kernel module from being loaded."""

    path: str
    line: int
    text: str


def overrides(texts: Texts, values: t.Mapping[str, str]) -> list[Override]:
    """The lines that undo one of these values (key -> value) when one of the programs runs."""
    found: dict[tuple[str, Setting], list[str]] = {}
    settings = {program: _collected(texts, program) for program in PROGRAMS}
    for key, value in values.items():
        for program in PROGRAMS:
            last = _last_of(settings[program], key)
            if last is not None and not same_value(last.value or "", value):
                found.setdefault((key, last), []).append(program)
    return [Override(key, last.value or "", last.path, last.line, programs) for (key, last), programs in found.items()]


def last_setting(texts: Texts, key: str, program: str) -> Setting | None:
    """The line that has the last word on a key when the program runs; None when no line is about it. ``texts``: path -> text of the
    files in ``SYSCTL_FOLDERS`` and of ``SYSCTL_FILE``."""
    return _last_of(_collected(texts, program), key)


def _last_of(settings: t.Sequence[Setting], key: str) -> Setting | None:
    explicit = {setting.key for setting in settings}
    names = (key, *_ALIASES.get(key, ()))
    last = None
    for setting in settings:
        if setting.value is not None and _sets(setting.key, names, explicit):
            last = setting
    return last


def _collected(texts: Texts, program: str) -> list[Setting]:
    """All lines in the order in which they are applied. systemd keeps one for each key: the last, unless it repeats the value."""
    more = [SYSCTL_FILE] if program == PROCPS and SYSCTL_FILE in texts else []
    settings = [setting for path in [*in_order(texts, SYSCTL_FOLDERS), *more] for setting in _parse(path, texts[path])]
    if program == PROCPS:
        return settings
    kept: dict[str, Setting] = {}
    for setting in settings:
        if setting.key not in kept or kept[setting.key].value != setting.value:
            kept.pop(setting.key, None)
            kept[setting.key] = setting
    return list(kept.values())


def in_order(paths: t.Iterable[str], folders: t.Sequence[str]) -> list[str]:
    """The files of the folders that count, by the bytes of their names."""
    known = set(paths)
    found: dict[str, str] = {}
    for folder in folders:
        for path in known:
            if os.path.dirname(path) == folder and path.endswith(SUFFIX):
                found.setdefault(os.path.basename(path), path)
    return [found[name] for name in sorted(found, key=os.fsencode)]


def _parse(path: str, text: str) -> t.Iterator[Setting]:
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip()
        name, equals, value = words.partition("=")
        if not words or words[0] in "#;" or not (equals or words[0] == "-"):
            continue
        yield Setting(path, number, normal_key(name.strip().lstrip("-")), " ".join(value.split()) if equals else None)


def normal_key(name: str) -> str:
    """``net.ipv4.conf.eth0/100.forwarding`` and ``net/ipv4/conf/eth0.100/forwarding`` are one key: where the first separator is a
    dot, dots and slashes are exchanged."""
    first = re.search("[./]", name)
    return name.translate({ord("."): "/", ord("/"): "."}) if first and first[0] == "." else name


def _sets(pattern: str, names: t.Sequence[str], explicit: t.AbstractSet[str]) -> bool:
    """A pattern passes over keys that another line names in full, wherever that is."""
    if not re.search(r"[*?\[]", pattern):
        return pattern in names
    matching = _compiled(pattern)
    return matching is not None and any(name not in explicit and matching.fullmatch(name) for name in names)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(_regex(pattern))
    except re.error:  # "[z-a]" matches nothing
        return None


def _regex(pattern: str) -> str:
    """A pattern of glob(7), whose ``*`` and ``?`` do not match a slash."""
    parts = re.findall(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)
    return "".join(_regex_part(part) for part in parts)


def _regex_part(part: str) -> str:
    if len(part) == 1:
        return {"*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    negated, inner = part[1] == "!", part[1:-1].lstrip("!").replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
    return f"(?!/)[{'^' if negated else ''}{inner}]"


def same_value(one: str, other: str) -> bool:
    """Whether the kernel reads the same number, or text: ``0x1`` is ``1``, and ``01``."""
    return _number(one) == _number(other)


def _number(text: str) -> int | str:
    try:
        return int(text, 8 if re.fullmatch("-?0[0-7]+", text) else 0)
    except ValueError:
        return text


def blocks(texts: Texts, module: str) -> list[Block]:
    """The lines that keep a module from being loaded at boot. ``texts``: path -> text of the files in ``MODPROBE_FOLDERS``."""
    return [Block(path, number, line) for path in in_order(texts, MODPROBE_FOLDERS) for number, line in _commands(texts[path]) if _blocks(line, module)]


def _commands(text: str) -> t.Iterator[tuple[int, str]]:
    """Lines, with those that a backslash continues made one."""
    number, held = 1, ""
    for current, line in enumerate(text.split("\n"), 1):
        number = number if held else current
        held += line
        if held.endswith("\\"):
            held = held[:-1]
        else:
            yield number, " ".join(held.split())
            held = ""


def _blocks(line: str, module: str) -> bool:
    """systemd-modules-load(8) heeds ``blacklist``; ``install`` with something that loads nothing is the stronger form of it."""
    command, _space, rest = line.partition(" ")
    name, _space, program = rest.partition(" ")
    if name.replace("-", "_") != module:
        return False
    return command == "blacklist" or (command == "install" and not re.search("modprobe|insmod", program))
