# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""iptables and ip6tables, whose two variants keep rules that do not see each other: ``nft`` in nf_tables, ``legacy`` in x_tables.

A variant is always called by a program that is certainly of it, whatever the alternative ``iptables`` means today.
"""

from __future__ import annotations

import os
import re
import typing as t

from .._errors import NodeError
from . import kept
from .files import read_text
from .process import an_answer, find, look, once, output, seen

TOOLS = {"ipv4": "iptables", "ipv6": "ip6tables"}
VARIANTS = ("nft", "legacy")
_NAMES = {"ipv4": "/proc/net/ip_tables_names", "ipv6": "/proc/net/ip6_tables_names"}
#: Since this release ``iptables-restore`` takes -w, and MASQUERADE takes --random-fully (release notes of 1.6.2).
_SINCE = (1, 6, 2)

Rule = tuple[str, str]  # chain, the rest of the rule in one spelling


def default_variant(family: str) -> str | None:
    """The variant that ``iptables``, as everybody else on the node calls it, is of; None without it."""
    return _said(TOOLS[family])[1] if find(TOOLS[family]) else None


def _said(program: str) -> tuple[tuple[int, ...], str]:
    """Release and variant in what ``--version`` says: ``iptables v1.8.9 (nf_tables)``. Before 1.8.0 there was one variant. All names of
    one binary say the same."""
    path = os.path.realpath(find(program) or program)
    said = kept.said_by(path, "version", lambda _path: seen([program, "--version"], timeout=10))
    found = re.search(r"v(\d+(?:\.\d+)*)", said)
    return tuple(map(int, found[1].split("."))) if found else (), "nft" if "nf_tables" in said else "legacy"


def program(variant: str, family: str, suffix: str = "") -> str | None:
    """``iptables-legacy-save``, or ``iptables-save`` where that is the only name that the variant has. None: not installed."""
    named, common = (f"{TOOLS[family]}{word}{suffix}" for word in (f"-{variant}", ""))
    if find(named):
        return named
    return common if find(common) and default_variant(family) == variant else None


def installed(variant: str, family: str) -> bool:
    return all(program(variant, family, suffix) for suffix in ("-save", "-restore"))


def answers(variant: str, family: str) -> bool:
    """Whether the variant is installed and the kernel has what it needs: the programs of one for nf_tables may be on a node without.
    Raises NodeError where that cannot be told now."""
    save = program(variant, family, "-save")
    argv = [save or "", "-t", "nat" if variant == "nft" else "raw"]  # nat is read anyway, and none of nf_tables is made by that
    return save is not None and an_answer(argv, look(argv)).returncode == 0


def knows_random_fully(variant: str, family: str) -> bool:
    tool = program(variant, family)
    return tool is not None and _said(tool)[0] >= _SINCE


def legacy_tables(family: str) -> list[str]:
    """The tables of the legacy variant that somebody has asked for since the node is up."""
    return sorted((read_text(_NAMES[family]) or "").split())


def read(variant: str, family: str, table: str) -> tuple[set[str], list[Rule]]:
    """Chains and rules of a table, in order. A save never looks a name up in the DNS, and here never makes a table."""
    if variant == "legacy" and table not in legacy_tables(family):
        return set(), []
    return once(lambda: _read(variant, family, table), "rules", variant, family, table)


def _read(variant: str, family: str, table: str) -> tuple[set[str], list[Rule]]:
    chains, rules = set(), []
    for line in seen([_required(variant, family, "-save"), "-t", table]).splitlines():
        if line.startswith(f"# Table `{table}' is incompatible"):
            tool = TOOLS[family]
            raise NodeError(f"the table {table} of {tool} holds rules that {tool} cannot show (expected: move them to another table)")
        if line.startswith(":"):
            chains.add(line[1:].split()[0])
        elif line.startswith("-A "):
            _append, chain, *words = split(line)
            rules.append((chain, spell(words)))
    return chains, rules


def change(variant: str, family: str, table: str, commands: t.Sequence[str]) -> None:
    """Carries out lines of iptables-restore on a table as one transaction, under the lock that all users of iptables take: all
    of them or none."""
    program = _required(variant, family, "-restore")
    wait = ["-w", "10"] if _said(program)[0] >= _SINCE else []
    output([program, "--noflush", *wait], stdin="\n".join([f"*{table}", *commands, "COMMIT", ""]))


def _required(variant: str, family: str, suffix: str) -> str:
    tool = program(variant, family, suffix)
    if tool is None:
        name = f"{TOOLS[family]}-{variant}{suffix}"
        raise NodeError(f"{name} is not installed on this node, and rules in its tables cannot be seen (expected it to be there until they are gone)")
    return tool


def split(line: str) -> list[str]:
    """The words of a line of iptables-save, which escapes double quotes, backslashes and apostrophes in quoted ones."""
    found = re.findall(r'"((?:\\.|[^"\\])*)"|(\S+)', line)
    return [bare or re.sub(r"\\(.)", r"\1", quoted) for quoted, bare in found]


def spell(words: t.Iterable[str]) -> str:
    """A rule's words as text that both a comparison and iptables-restore can use."""
    return " ".join(_quote(word) for word in words)


def _quote(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' if not word or set(word) & set(" \t\"'\\#") else word
