# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import functools
import typing as t

from .._host import firewall, iptables, nft
from .._host.firewall import Chain
from .base import Run

NFTABLES = "nftables"
#: Where rules can be, in the order in which they are taken when nothing else decides.
BACKENDS = ("iptables-nft", "iptables-legacy", NFTABLES)
#: What may be asked for. ``iptables`` is the variant that the node's alternative of that name is.
WORDS = ("auto", "iptables", *BACKENDS)
#: Tables of their own that kube-proxy and the CNI plugins have in nf_tables (cni.md section 5).
_NATIVE = ("kube-proxy", "cni_hostport", "cni_plugins_masquerade")


class Choice(t.NamedTuple):
    backend: str  # one of BACKENDS
    because: str


def variant(backend: str) -> str | None:
    """``nft`` for iptables-nft, None for nftables."""
    return None if backend == NFTABLES else backend.partition("-")[2]


def usable(backend: str, families: t.Iterable[str]) -> bool:
    """Whether the node has the programs for it, and its kernel what they need. To ask the legacy variant would make a table."""
    kind = variant(backend)
    if kind is None:
        return nft.speaks_json()
    return all(iptables.installed(kind, family) and (kind == "legacy" or iptables.answers(kind, family)) for family in families)


class Seen:
    """What the packet filters of the node hold, read once."""

    @functools.cached_property
    def chains(self) -> list[Chain]:
        listed = nft.speaks_json()
        chains = firewall.nft_chains() if listed else []
        for family in iptables.TOOLS:
            if not listed:
                chains += firewall.saved_nft_chains(family)
            if iptables.program("legacy", family, "-save"):
                chains += firewall.legacy_chains(family)
        return chains

    def used_by(self, backend: str) -> str | None:
        """A chain or table of kube-proxy or of the CNI plugins in a backend."""
        if backend == NFTABLES:
            return next((chain.table for chain in self.chains if chain.backend == "nft" and chain.table in _NATIVE), None)
        names = [chain.name for chain in self.chains if chain.backend == variant(backend) and chain.table not in _NATIVE]
        return next((name for name in names if name.startswith(("KUBE-", "CNI-"))), None)

    def has_tables(self, backend: str) -> bool:
        return any(chain.backend == variant(backend) and chain.table in ("nat", "filter", "mangle") for chain in self.chains)


class Known(t.NamedTuple):
    """The backend that holds our rules by now, and what the node's iptables was when it was chosen."""

    backend: str | None
    alternative: str | None


def alternative(families: t.Sequence[str]) -> str | None:
    """The backend that the node's command iptables is; None without it."""
    kind = iptables.default_variant(families[0])
    return f"iptables-{kind}" if kind else None


def choose(asked: str, families: t.Sequence[str], known: Known, seen: Seen, run: Run) -> Choice | None:
    """The backend for all families. None when ``run.problems`` says why."""
    if asked == "auto":
        return _automatic(families, known, seen, run)
    backend: str | None = asked
    if asked == "iptables":
        kinds = [iptables.default_variant(family) for family in families]
        backend = f"iptables-{kinds[0]}" if None not in kinds else None
        if len(set(kinds) - {None}) > 1:
            both = " and ".join(f"{iptables.TOOLS[family]} {kind}" for family, kind in zip(families, kinds))
            run.refuse("backend", f"'iptables' is not one variant on this node: {both} (expected the same alternative, or the variant by its name)")
            return None
    if backend is None or not usable(backend, families):
        there = [word for word in BACKENDS if usable(word, families)]
        tools = "nft with JSON" if asked == NFTABLES else " and ".join(iptables.TOOLS[family] for family in families)
        expected = f"expected {' or '.join(there)}" if there else "expected iptables or nft to be installed (Debian: package iptables or nftables)"
        run.refuse("backend", f"{asked!r} needs {tools}, which this node does not have or its kernel cannot serve ({expected})")
        return None
    return Choice(backend, "it was asked for" if backend == asked else f"the node's iptables is {backend}")


def _automatic(families: t.Sequence[str], before: Known, seen: Seen, run: Run) -> Choice | None:
    there = [backend for backend in BACKENDS if usable(backend, families)]
    if not there:
        run.refuse("backend", "auto finds neither iptables nor nft on this node (expected one of them: Debian's package iptables or nftables)")
        return None
    used = {backend: name for backend in there for name in [seen.used_by(backend)] if name}
    default, known = alternative(families), before.backend
    if known in there and not _is_left(before, default, used):
        return Choice(known, f"{used[known]} is there, too" if known in used else "it was chosen before, and nothing speaks for another one")
    if used.get(NFTABLES) == "kube-proxy":
        return Choice(NFTABLES, "kube-proxy uses nftables")
    for backend in (default, *used):
        if backend in used:
            return Choice(backend, f"{used[backend]} is there")
    if known is None and "iptables-legacy" in there and seen.has_tables("iptables-legacy") and not seen.has_tables("iptables-nft"):
        return Choice("iptables-legacy", "legacy tables are in use, and iptables has none in nf_tables")
    if default in there:
        return Choice(default, f"the node's iptables is {default}, and neither kube-proxy nor a CNI plugin has rules yet")
    backend = NFTABLES if NFTABLES in there else there[0]
    return Choice(backend, "nothing else is installed" if len(there) == 1 else "the node has no command iptables")


def _is_left(before: Known, default: str | None, used: t.Mapping[str, str]) -> bool:
    """Whether there is a reason to leave the backend that was chosen before: others use another one, and not this one; or
    the node's iptables, by which they make their next rules, became another variant."""
    if used and before.backend not in used:
        return True
    moved = default not in (None, before.backend, before.alternative) and before.backend != NFTABLES
    return moved and (default in used or not used)
