# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._document import Document
from .._errors import NodeError
from .._host import links
from .._resource import Resource, State


class HairpinPort(Resource):
    """Whether a bridge sends frames back by one of its ports. State: True or False.

    Pods end at any time. Of a port that is gone, ``gone`` is the state: nothing is left to be changed then, or to be given back.
    ``before`` counts as found where it is not None: what the plugins did by our own list was not there before us.
    """

    def __init__(self, bridge: str, port: str, *, gone: bool = False, before: bool | None = None) -> None:
        self.bridge, self.port = bridge, port
        self.id = f"hairpin:{bridge}/{port}"
        self.gone = gone
        self.before = before

    def arguments(self) -> list[t.Any]:
        return [self.bridge, self.port]

    def read(self) -> State:
        link = self._link()
        return self.gone if link is None else link.hairpin

    def _link(self) -> links.Link | None:
        link = links.read_links().get(self.port)
        return link if link is not None and link.master == self.bridge else None

    def write(self, state: State) -> None:
        try:
            if self._link() is not None:
                links.set_hairpin(self.port, state)
        except NodeError:
            if self._link() is not None:  # else the pod ended meanwhile
                raise

    def found(self, state: State) -> State:
        return state if self.before is None else self.before


def revive(document: Document, object_id: str) -> HairpinPort:
    bridge, _slash, port = object_id.partition(":")[2].partition("/")
    record = document.record(object_id)
    return HairpinPort(bridge, port, gone=bool(record and record["found"]))
