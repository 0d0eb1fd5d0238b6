# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._host import routes
from .._resource import Resource, State


class RouteSet(Resource):
    """All routes of our own protocol. State: ``{"10.244.2.0/24": "192.0.2.12"}``, prefix -> next hop; None for no route.

    A route of our protocol that we do not make is in there as ip(8) shows it, so that it is drift, whoever made it. ``waiting``: what
    has to appear before any of the routes can be there.
    """

    id = "routes:kubenode"

    def __init__(self, waiting: str | None = None) -> None:
        self.waiting = waiting

    def arguments(self) -> list[t.Any]:
        return []

    def read(self) -> State:
        return {route.name: route.via for route in routes.own()} or None

    def write(self, state: State) -> None:
        self._change(state or {})

    def _change(self, wanted: t.Mapping[str, routes.How]) -> None:
        """New ones before old ones go; a next hop is changed in place, so that at no instant a prefix is without a route."""
        own = routes.own()
        now = {route.name: route.via if route.body is None else route.body for route in own}
        add = {name: how for name, how in wanted.items() if name not in now}
        replace = {name: how for name, how in wanted.items() if name in now and now[name] != how}
        routes.change_own(add, replace, [route for route in own if route.name not in wanted])

    def capture(self) -> t.Any:
        """The kernel's messages, too, of routes that we would not make so."""
        odd = {route.name: route.body.hex() for route in routes.own() if route.body is not None}
        return {"state": self.read(), "odd": odd}

    def restore(self, token: t.Any) -> None:
        if self.read() != token["state"]:
            self._change({**(token["state"] or {}), **{name: bytes.fromhex(body) for name, body in token["odd"].items()}})

    def found(self, state: State) -> State:
        """Nobody else has this protocol: what is there is of an earlier run, whose document was lost."""
        return None

    def waits_for(self) -> str | None:
        return self.waiting

    def focus(self, before: State, after: State) -> tuple[State, State]:
        """The routes that differ."""
        return _without_equals(before, after), _without_equals(after, before)

    def describe(self, state: State) -> str:
        return "".join(f"{prefix} via {via}\n" if " " not in via else f"{via}\n" for prefix, via in (state or {}).items())


def _without_equals(state: State, other: State) -> State:
    if state is None or other is None:
        return state
    return {prefix: via for prefix, via in state.items() if other.get(prefix) != via}
