# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The routes to other nodes' pods, brought back whenever something takes them away: a link that goes down, or a network manager that sets
it up anew. At boot, they are made when their links are there."""

from __future__ import annotations

import typing as t

from .._errors import KubenodeError
from .._host import files, routes
from .._sections import routes as section
from . import parts

#: Seconds until what failed is tried again: somebody else may change the node just now.
AGAIN = 30.0


def watch(program: str, say: t.Callable[[str], None]) -> None:
    """Returns when the ``program`` is another one than at the start, which then has to take over."""
    began = files.state(program)
    events = routes.Watch()  # before the first look, so that nothing is missed between
    while files.state(program) == began:
        events.wait(routes.connected_links(), None if _mend(say) else AGAIN)


def _mend(say: t.Callable[[str], None]) -> bool:
    """Makes the routes if they are not as the document says. Whether there is nothing left to be tried again."""
    try:
        if all(look.state in (parts.OK, parts.WAITING) for look in parts.look_at(section.NAME)):
            return True
        report = parts.apply(only=section.NAME)
    except KubenodeError as error:
        say(f"{error}\n")
        return False
    for look in report.looks:
        for line in [*(change.in_words() for change in look.changes), *look.problems, *look.warnings]:
            say(f"{look.name}: {line}\n")
    return not any(look.problems for look in report.looks)
