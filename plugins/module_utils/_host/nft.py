# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Tables of nf_tables, read as JSON and replaced in one transaction each."""

from __future__ import annotations

import json
import typing as t

from .._errors import NodeError
from .process import an_answer, failed, find, look, once, output, seen

FAMILIES = {"ipv4": "ip", "ipv6": "ip6", "bridge": "bridge"}

_CHAINS = ("nft", "-j", "list", "chains")

Item = dict[str, t.Any]  # {"rule": {…}}, {"chain": {…}} and so on


def installed() -> bool:
    return find("nft") is not None


def speaks_json() -> bool:
    """Whether nft is there and can say what it sees as JSON, which distributions may leave out, or the kernel the rest. What passes is
    no answer: raises NodeError."""
    if not installed():
        return False
    return an_answer(_CHAINS, look(_CHAINS)).returncode == 0


def chains() -> list[Item]:
    """All chains of all families, as nft describes them, those that iptables made too. Nothing is made by asking."""
    return once(lambda: [item["chain"] for item in json.loads(seen(_CHAINS))["nftables"] if "chain" in item], "chains")


def has_chain(family: str, table: str, name: str) -> bool:
    return any((chain["family"], chain["table"], chain["name"]) == (FAMILIES[family], table, name) for chain in chains())


def has_table(family: str, name: str) -> bool:
    """The same without its rules, which may be many. Raises NodeError where it cannot be seen."""
    return f"table {FAMILIES[family]} {name}" in once(_tables, "tables")


def _tables() -> list[str]:
    """Not as JSON, in which nft 1.0.6 has whatever is in its memory for the flags of a table."""
    return seen(("nft", "list", "tables")).splitlines()


def read_table(family: str, name: str) -> list[Item] | None:
    """What is in a table, the table itself first; None without it. Handles, which are new each time, are left out."""
    if not installed():
        raise NodeError("nft is not installed on this node, and rules in its tables cannot be seen (expected it to be there until they are gone)")
    argv = ["nft", "-j", "list", "table", FAMILIES[family], name]
    result = look(argv)
    if result.returncode != 0 and "No such file or directory" in result.stderr:
        return None
    if result.returncode != 0:
        raise failed(argv, result.returncode, result.stderr)
    try:
        items = [item for item in json.loads(result.stdout)["nftables"] if "metainfo" not in item]
    except ValueError as error:  # nft 1.0.6 has whatever is in its memory for the flags of a table
        raise NodeError(f"what nft says of the table {FAMILIES[family]} {name} is no JSON: {error}") from error
    return [{kind: {key: value for key, value in body.items() if key != "handle"}} for item in items for kind, body in item.items()]


def replace_table(family: str, name: str, body: str) -> None:
    """``body``: chains in nft's words. The table is never gone in between."""
    head = f"{FAMILIES[family]} {name}"
    output(["nft", "-f", "-"], stdin=f"add table {head}\ndelete table {head}\ntable {head} {{\n{body}}}\n")


def load_table(family: str, name: str, items: t.Sequence[Item]) -> None:
    """The same with what ``read_table`` gave."""
    table = {"table": {"family": FAMILIES[family], "name": name}}
    commands = [{"add": table}, {"delete": table}, *({"add": item} for item in items)]
    output(["nft", "-j", "-f", "-"], stdin=json.dumps({"nftables": commands}))


def delete_table(family: str, name: str) -> None:
    output(["nft", "delete", "table", FAMILIES[family], name])


def add_base_chain(family: str, table: str, name: str, kind: str, hook: str, priority: int) -> None:
    """Makes a table with a base chain, or adds the chain to it."""
    head = f"{FAMILIES[family]} {table}"
    output(["nft", "-f", "-"], stdin=f"add table {head}\nadd chain {head} {name} {{ type {kind} hook {hook} priority {priority}; policy accept; }}\n")


def delete_chain(family: str, table: str, name: str) -> None:
    output(["nft", "delete", "chain", FAMILIES[family], table, name])
