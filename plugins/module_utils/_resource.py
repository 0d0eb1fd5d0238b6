# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import hashlib
import json
import typing as t

State = t.Any  # plain JSON data, or None for "not there"


class Resource:
    """One thing on a node. A subclass says how to read it and how to make it so; everything else follows."""

    id: str
    #: Python libraries that ``write`` imports, as ``name`` or ``name>=version``; asked for before anything is touched.
    libraries: tuple[str, ...] = ()
    #: Whether what ``write`` makes is still there after a boot.
    survives_boot = False

    def arguments(self) -> list[t.Any]:
        """JSON data from which ``again`` makes the same resource in another process, as far as ``restore`` needs it."""
        return [self.id.partition(":")[2]]

    @classmethod
    def again(cls, *arguments: t.Any) -> Resource:
        return cls(*arguments)

    def read(self) -> State:
        """The actual state: the managed fields only, normalised so that equal things compare equal."""
        raise NotImplementedError

    def write(self, state: State) -> None:
        """Makes the node so; idempotent, whatever the state is now."""
        raise NotImplementedError

    def beside(self) -> t.Any:
        """JSON data on what ``write`` may change beside the state: side effects, places among the rules of others. None
        for nothing."""
        return None

    def write_beside(self, beside: t.Any) -> None:
        """Puts back what ``beside`` gave."""

    def capture(self) -> t.Any:
        """JSON data from which ``restore`` puts everything back. Changes nothing."""
        return {"state": self.read(), "beside": self.beside()}

    def keep(self, token: t.Any) -> None:
        """Puts aside on the node what ``restore`` needs besides the token."""

    def restore(self, token: t.Any) -> None:
        if self.read() != token["state"]:  # what was not changed needs no room and no permission to be put back
            self.write(token["state"])
        if token["beside"] is not None:
            self.write_beside(token["beside"])

    def paths(self) -> t.Sequence[str]:
        """Paths of the files that ``write`` puts in place: a run that is killed leaves temporary ones beside them."""
        return ()

    def found(self, state: State) -> State:
        """What counts as found where ``state`` is there at the first contact: a run that was killed may have been before."""
        return state

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        """Whether the thing cannot be given back as it was ``found``, although we no longer want it: a folder that is to
        go but holds somebody else's files. ``releasing`` are the ids of everything that is given back with it."""
        return False

    def waits_for(self) -> str | None:
        """What has to appear on the node before the thing can be there at all, such as ``link eth0``; None for nothing."""
        return None

    def hash(self, state: State) -> str | None:
        """What the document remembers of a state that was written."""
        return None if state is None else hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()

    def focus(self, before: State, after: State) -> tuple[State, State]:
        """What of two states is worth telling apart, for a report."""
        return before, after

    def title(self, state: State) -> str:
        """The thing's name in a diff."""
        return self.id if state is not None else f"{self.id} (absent)"

    def describe(self, state: State) -> str:
        """The state as text for a person, one fact a line; empty for "not there"."""
        return outline(state)


def outline(state: State, indent: str = "") -> str:
    """JSON data as lines for a person: ``mtu: 1450``, lists with dashes."""
    if state is None:
        return ""
    if isinstance(state, dict):
        return "".join(_outline_item(f"{indent}{key}:", value, indent) for key, value in state.items())
    if isinstance(state, (list, tuple)):
        return "".join(_outline_item(f"{indent}-", value, indent) for value in state)
    return f"{indent}{_scalar(state)}\n"


def _outline_item(label: str, value: State, indent: str) -> str:
    if isinstance(value, (dict, list, tuple)) and value:
        return f"{label}\n{outline(value, indent + '  ')}"
    return f"{label} {_scalar(value)}\n"


def _scalar(value: State) -> str:
    return value if isinstance(value, str) else json.dumps(value)
